package main

import (
	"fmt"
	"sort"
	"strings"
)

// kubeconfigVariable is the variable with the kubeconfig, as JSON in base64.
const kubeconfigVariable = "KUBECONFIG_PRIMARY"

// variable is an injected variable with the value to show.
type variable struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Secret bool   `json:"secret"`
}

// injected returns the project's variables from the process environment, without those that the container runtime and
// Kubernetes add to every container. A value that looks secret is described, not shown.
func injected(environment []string) []variable {
	var variables []variable
	for _, entry := range environment {
		name, value, _ := strings.Cut(entry, "=")
		if name == "" || isFromRuntime(name) {
			continue
		}
		if isSecret(name) {
			variables = append(variables, variable{Name: name, Value: describe(value), Secret: true})
		} else {
			variables = append(variables, variable{Name: name, Value: value})
		}
	}
	sort.Slice(variables, func(i, j int) bool { return variables[i].Name < variables[j].Name })
	return variables
}

func isFromRuntime(name string) bool {
	switch name {
	case "PATH", "HOME", "HOSTNAME", "TERM", "PWD", "SHLVL":
		return true
	}
	return strings.HasPrefix(name, "KUBERNETES_")
}

func isSecret(name string) bool {
	if name == kubeconfigVariable {
		return true
	}
	for _, part := range strings.Split(strings.ToUpper(name), "_") {
		switch part {
		case "SECRET", "TOKEN", "PASSWORD", "PASSWD", "KEY", "CREDENTIALS":
			return true
		}
	}
	return false
}

func describe(secret string) string {
	if secret == "" {
		return "empty"
	}
	return fmt.Sprintf("set, %d characters", len(secret))
}
