package server

import "strings"

// withoutWatchCache are the resources that hardly ever change, or of which a small cluster has none. For every other one the API server
// keeps a copy of all objects, which is filled at each start, wakes up every second for as long as the server runs, and saves
// the database hardly any work here: each has a few watchers, and is rarely listed.
var withoutWatchCache = []string{
	"limitranges", "podtemplates", "replicationcontrollers", "resourcequotas",
	"certificatesigningrequests.certificates.k8s.io", "clustertrustbundles.certificates.k8s.io", "podcertificaterequests.certificates.k8s.io",
	"controllerrevisions.apps",
	"cronjobs.batch",
	"deviceclasses.resource.k8s.io", "devicetaintrules.resource.k8s.io", "resourceclaims.resource.k8s.io",
	"resourceclaimtemplates.resource.k8s.io", "resourceslices.resource.k8s.io",
	"flowschemas.flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
	"horizontalpodautoscalers.autoscaling",
	"ingressclasses.networking.k8s.io", "ingresses.networking.k8s.io", "ipaddresses.networking.k8s.io", "networkpolicies.networking.k8s.io",
	"servicecidrs.networking.k8s.io",
	"leasecandidates.coordination.k8s.io",
	"mutatingadmissionpolicies.admissionregistration.k8s.io", "mutatingadmissionpolicybindings.admissionregistration.k8s.io",
	"mutatingwebhookconfigurations.admissionregistration.k8s.io", "validatingadmissionpolicies.admissionregistration.k8s.io",
	"validatingadmissionpolicybindings.admissionregistration.k8s.io", "validatingwebhookconfigurations.admissionregistration.k8s.io",
	"poddisruptionbudgets.policy",
	"priorityclasses.scheduling.k8s.io",
	"runtimeclasses.node.k8s.io",
	"storageversions.internal.apiserver.k8s.io",
	"csidrivers.storage.k8s.io", "csinodes.storage.k8s.io", "csistoragecapacities.storage.k8s.io", "storageclasses.storage.k8s.io",
	"volumeattachments.storage.k8s.io", "volumeattributesclasses.storage.k8s.io",
}

// watchCacheSizes is the argument for that: only the size zero has a meaning.
func watchCacheSizes() string {
	return "--watch-cache-sizes=" + strings.Join(withoutWatchCache, "#0,") + "#0"
}
