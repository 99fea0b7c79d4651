package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// node is a node as the page shows it.
type node struct {
	Name    string `json:"name"`
	Ready   bool   `json:"ready"`
	Version string `json:"version"`
	System  string `json:"system"`
}

// cluster is a client of the API server in the kubeconfig.
type cluster struct {
	server string
	token  string
	client *http.Client
	// The reason why there is no client; the other fields are then empty.
	unusable error
}

// kubeconfig is the part of a kubeconfig that the application needs: a server, its CA, a client certificate or a token.
type kubeconfig struct {
	CurrentContext string `json:"current-context"`
	Contexts       []struct {
		Name    string `json:"name"`
		Context struct {
			Cluster string `json:"cluster"`
			User    string `json:"user"`
		} `json:"context"`
	} `json:"contexts"`
	Clusters []struct {
		Name    string         `json:"name"`
		Cluster kubeconfigSite `json:"cluster"`
	} `json:"clusters"`
	Users []struct {
		Name string         `json:"name"`
		User kubeconfigUser `json:"user"`
	} `json:"users"`
}

type kubeconfigSite struct {
	Server        string `json:"server"`
	Authority     []byte `json:"certificate-authority-data"`
	TLSServerName string `json:"tls-server-name"`
}

type kubeconfigUser struct {
	Certificate []byte `json:"client-certificate-data"`
	Key         []byte `json:"client-key-data"`
	Token       string `json:"token"`
}

// clusterFromEnvironment reads the value of KUBECONFIG_PRIMARY. The page reports a value that cannot be used, since
// the application works without it.
func clusterFromEnvironment(value string) *cluster {
	connected, err := connect(value)
	if err != nil {
		return &cluster{unusable: fmt.Errorf("%s: %w", kubeconfigVariable, err)}
	}
	return connected
}

func connect(value string) (*cluster, error) {
	if value == "" {
		return nil, errors.New("is not set")
	}
	text, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return nil, fmt.Errorf("is not base64: %w", err)
	}
	var config kubeconfig
	if err := json.Unmarshal(text, &config); err != nil {
		return nil, fmt.Errorf("holds no kubeconfig in JSON: %w", err)
	}
	site, user, err := config.current()
	if err != nil {
		return nil, err
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(site.Authority) {
		return nil, errors.New("names no certificate authority")
	}
	settings := &tls.Config{RootCAs: authorities, ServerName: site.TLSServerName, MinVersion: tls.VersionTLS12}
	if len(user.Certificate) > 0 {
		pair, err := tls.X509KeyPair(user.Certificate, user.Key)
		if err != nil {
			return nil, fmt.Errorf("has an unusable client certificate: %w", err)
		}
		settings.Certificates = []tls.Certificate{pair}
	}
	return &cluster{
		server: strings.TrimSuffix(site.Server, "/"),
		token:  user.Token,
		client: &http.Client{Transport: &http.Transport{TLSClientConfig: settings, ForceAttemptHTTP2: true}},
	}, nil
}

// current returns the server and user of current-context.
func (k kubeconfig) current() (site kubeconfigSite, user kubeconfigUser, err error) {
	for _, candidate := range k.Contexts {
		if candidate.Name != k.CurrentContext {
			continue
		}
		found := 0
		for _, entry := range k.Clusters {
			if entry.Name == candidate.Context.Cluster {
				site, found = entry.Cluster, found+1
			}
		}
		for _, entry := range k.Users {
			if entry.Name == candidate.Context.User {
				user, found = entry.User, found+1
			}
		}
		if found != 2 {
			return site, user, fmt.Errorf("context %q names a cluster or user that is not there", candidate.Name)
		}
		return site, user, nil
	}
	return site, user, fmt.Errorf("has no context %q", k.CurrentContext)
}

// nodes lists the nodes.
func (c *cluster) nodes(ctx context.Context) ([]node, error) {
	if c.unusable != nil {
		return nil, c.unusable
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.server+"/api/v1/nodes?limit=500", nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("cannot reach the API server: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	if err != nil {
		return nil, fmt.Errorf("cannot read the answer of the API server: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the API server answered %s", response.Status)
	}
	return readNodes(body)
}

// readNodes reads a NodeList.
func readNodes(body []byte) ([]node, error) {
	var list struct {
		Kind  string `json:"kind"`
		Items []struct {
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
			Status struct {
				Conditions []struct {
					Type   string `json:"type"`
					Status string `json:"status"`
				} `json:"conditions"`
				NodeInfo struct {
					KubeletVersion string `json:"kubeletVersion"`
					OSImage        string `json:"osImage"`
				} `json:"nodeInfo"`
			} `json:"status"`
		} `json:"items"`
	}
	if err := json.Unmarshal(body, &list); err != nil || list.Kind != "NodeList" {
		return nil, errors.New("the API server sent no list of nodes")
	}
	nodes := make([]node, 0, len(list.Items))
	for _, item := range list.Items {
		read := node{
			Name:    item.Metadata.Name,
			Version: item.Status.NodeInfo.KubeletVersion,
			System:  item.Status.NodeInfo.OSImage,
		}
		for _, condition := range item.Status.Conditions {
			read.Ready = read.Ready || condition.Type == "Ready" && condition.Status == "True"
		}
		nodes = append(nodes, read)
	}
	return nodes, nil
}
