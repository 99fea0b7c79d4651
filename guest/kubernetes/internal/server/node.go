package server

import (
	"context"
	"net"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"k3s-vm.dev/guest/kubernetes/internal/cluster"
)

// nodeLabels are the labels that users of K3s know. A kubelet must not give itself roles, so they are added from outside.
const nodeLabels = `{"metadata":{"labels":{"node-role.kubernetes.io/control-plane":"true","node-role.kubernetes.io/master":"true"}}}`

const containerdInterval = 50 * time.Millisecond

// waitForContainerd waits for the socket. containerd starts at the same time as this process, and the kubelet gives up when it is not there.
func waitForContainerd(ctx context.Context) error {
	path := strings.TrimPrefix(cluster.ContainerdSocket, "unix://")
	for {
		connection, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
		if err == nil {
			return connection.Close()
		}
		if err := pause(ctx, containerdInterval); err != nil {
			return err
		}
	}
}

// watchNode notes when the node becomes Ready, and labels it.
func (n *node) watchNode(ctx context.Context, config *rest.Config, clock stopwatch) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		klog.ErrorS(err, "The node cannot be watched")
		return
	}
	options := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", cluster.NodeName).String()}
	for ctx.Err() == nil {
		if watch, err := client.CoreV1().Nodes().Watch(ctx, options); err == nil {
			ready := seeReady(watch)
			watch.Stop()
			if ready {
				break
			}
		}
		_ = pause(ctx, apiInterval)
	}
	clock.mark("node Ready")
	for ctx.Err() == nil {
		_, err := client.CoreV1().Nodes().Patch(ctx, cluster.NodeName, types.StrategicMergePatchType, []byte(nodeLabels), metav1.PatchOptions{})
		if err == nil {
			return
		}
		_ = pause(ctx, time.Second)
	}
}

// seeReady reads events until one has a Ready node, or they end.
func seeReady(watch watch.Interface) bool {
	for event := range watch.ResultChan() {
		if node, ok := event.Object.(*v1.Node); ok && isReady(node) {
			return true
		}
	}
	return false
}

func isReady(node *v1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == v1.NodeReady {
			return condition.Status == v1.ConditionTrue
		}
	}
	return false
}
