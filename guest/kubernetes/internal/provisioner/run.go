package provisioner

import (
	"context"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// Run serves claims until ctx ends. It runs in a pod and finds the API as pods do.
func Run(ctx context.Context, root string) error {
	config, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	controller.NewProvisionController(ctx, client, Name, Local{Root: root},
		// There is only ever one of it, see its Deployment.
		controller.LeaderElection(false),
		controller.ResyncPeriod(30*time.Minute),
		controller.Threadiness(2),
		controller.MetricsPort(0),
	).Run(ctx)
	return ctx.Err()
}
