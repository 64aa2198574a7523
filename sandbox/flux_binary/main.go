// Flux's reconciliation of one Kustomization, without its sources: a folder is applied every few seconds, drift is
// corrected, what was removed is pruned, and health is awaited. Each round is a line of standard output, as JSON.
//
// All of this is Flux's module ssa. The order and the options follow kustomize-controller's reconcile, apply, prune and
// checkHealth.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/cli-utils/pkg/object"
	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/jsondiff"
	"github.com/fluxcd/pkg/ssa/normalize"
	"github.com/fluxcd/pkg/ssa/utils"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

const (
	controllerName = "kustomize-controller"
	group          = "kustomize.toolkit.fluxcd.io"
)

type kustomization struct {
	name, namespace, folder string
	prune                   bool
	ignore                  string
	timeout                 time.Duration
	manager                 *ssa.ResourceManager
	inventory               map[object.ObjMetadata]string
}

type reported struct {
	Revision string `json:"revision"`
	// Each object that this round has created, configured or deleted.
	Changed map[string]string `json:"changed"`
	// The condition Ready, with its message.
	Healthy bool   `json:"healthy"`
	Message string `json:"message"`
}

func main() {
	of := kustomization{}
	var kubeconfig string
	var interval time.Duration
	// Of its own, because libraries add flags to the global one.
	flags := flag.NewFlagSet(os.Args[0], flag.ExitOnError)
	flags.StringVar(&kubeconfig, "kubeconfig", "", "the cluster")
	flags.StringVar(&of.name, "name", "", "the Kustomization's name")
	flags.StringVar(&of.namespace, "namespace", "", "spec.targetNamespace")
	flags.StringVar(&of.folder, "folder", "", "the folder with YAML; a link is followed again in each round")
	flags.BoolVar(&of.prune, "prune", false, "as spec.prune")
	flags.StringVar(&of.ignore, "ignore", "", "a JSON pointer, for Deployments: as spec.ignore")
	flags.DurationVar(&of.timeout, "wait", 0, "as spec.timeout with spec.wait; 0: no health checks")
	flags.DurationVar(&interval, "interval", 2*time.Second, "between two rounds")
	check(flags.Parse(os.Args[1:]))
	ctrl.SetLogger(logr.Discard())
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	check(err)
	check(of.connect(config))
	lines := json.NewEncoder(os.Stdout)
	for ; ; time.Sleep(interval) {
		done := reported{Changed: map[string]string{}}
		if err := of.reconcile(context.Background(), &done); err != nil {
			done.Message = err.Error()
		} else {
			done.Healthy = true
		}
		check(lines.Encode(done))
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (of *kustomization) connect(config *rest.Config) error {
	web, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	mapper, err := apiutil.NewDynamicRESTMapper(config, web)
	if err != nil {
		return err
	}
	connected, err := client.New(config, client.Options{HTTPClient: web, Mapper: mapper, Scheme: runtime.NewScheme()})
	if err != nil {
		return err
	}
	poller := polling.NewStatusPoller(connected, mapper, polling.Options{})
	of.manager = ssa.NewResourceManager(connected, poller, ssa.Owner{Field: controllerName, Group: group})
	return nil
}

func (of *kustomization) reconcile(ctx context.Context, done *reported) error {
	objects, revision, err := of.read()
	if err != nil {
		return err
	}
	done.Revision = revision
	of.manager.SetOwnerLabels(objects, of.name, of.namespace)
	if err := normalize.UnstructuredList(objects); err != nil {
		return err
	}
	changes, err := of.apply(ctx, objects, done)
	if err != nil {
		return err
	}
	if err := of.collect(ctx, changes, done); err != nil {
		return err
	}
	if of.timeout == 0 {
		return nil
	}
	return of.manager.WaitForSetWithContext(ctx, changes.ToObjMetadataSet(), ssa.WaitOptions{
		Interval: time.Second, // 5 in the controller
		Timeout:  of.timeout,
		FailFast: true,
	})
}

// read returns the folder's objects, with the digest of their text.
func (of *kustomization) read() ([]*unstructured.Unstructured, string, error) {
	folder, err := filepath.EvalSymlinks(of.folder)
	if err != nil {
		return nil, "", err
	}
	paths, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return nil, "", err
	}
	digest := sha256.New()
	var objects []*unstructured.Unstructured
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, "", err
		}
		digest.Write(content)
		found, err := utils.ReadObjects(bytes.NewReader(content))
		if err != nil {
			return nil, "", err
		}
		objects = append(objects, found...)
	}
	for _, each := range objects {
		each.SetNamespace(of.namespace)
	}
	return objects, hex.EncodeToString(digest.Sum(nil))[:12], nil
}

func (of *kustomization) apply(
	ctx context.Context, objects []*unstructured.Unstructured, done *reported,
) (*ssa.ChangeSet, error) {
	options := ssa.DefaultApplyOptions()
	options.ExclusionSelector = map[string]string{group + "/reconcile": "disabled", group + "/ssa": "Ignore"}
	options.IfNotPresentSelector = map[string]string{group + "/ssa": "IfNotPresent"}
	options.ForceSelector = map[string]string{group + "/force": "enabled"}
	options.Cleanup = ssa.ApplyCleanupOptions{
		Annotations: []string{corev1.LastAppliedConfigAnnotation},
		FieldManagers: []ssa.FieldManager{
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: controllerName, OperationType: metav1.ManagedFieldsOperationUpdate},
		},
		Exclusions: map[string]string{group + "/ssa": "Merge"},
	}
	if of.ignore != "" {
		options.DriftIgnoreRules = []jsondiff.IgnoreRule{
			{Paths: []string{of.ignore}, Selector: &jsondiff.Selector{Kind: "Deployment"}},
		}
	}
	if len(objects) == 0 {
		return ssa.NewChangeSet(), nil
	}
	changes, err := of.manager.ApplyAllStaged(ctx, objects, options)
	if changes != nil {
		of.note(changes, done)
	}
	return changes, err
}

// collect deletes what earlier rounds have applied and this one has not.
func (of *kustomization) collect(ctx context.Context, changes *ssa.ChangeSet, done *reported) error {
	applied := map[object.ObjMetadata]string{}
	for _, change := range changes.Entries {
		applied[change.ObjMetadata] = change.GroupVersion
	}
	var stale []*unstructured.Unstructured
	for id, version := range of.inventory {
		if _, kept := applied[id]; !kept {
			one := &unstructured.Unstructured{}
			one.SetGroupVersionKind(id.GroupKind.WithVersion(version))
			one.SetNamespace(id.Namespace)
			one.SetName(id.Name)
			stale = append(stale, one)
		}
	}
	of.inventory = applied
	if !of.prune || len(stale) == 0 {
		return nil
	}
	deleted, err := of.manager.DeleteAll(ctx, stale, ssa.DeleteOptions{
		PropagationPolicy: metav1.DeletePropagationBackground,
		Inclusions:        of.manager.GetOwnerLabels(of.name, of.namespace),
		Exclusions: map[string]string{
			group + "/prune": "disabled", group + "/reconcile": "disabled", group + "/ssa": "Ignore",
		},
	})
	if deleted != nil {
		of.note(deleted, done)
	}
	return err
}

func (of *kustomization) note(changes *ssa.ChangeSet, done *reported) {
	for _, change := range changes.Entries {
		switch change.Action {
		case ssa.CreatedAction, ssa.ConfiguredAction, ssa.DeletedAction:
			id := change.ObjMetadata
			done.Changed[id.GroupKind.Kind+"/"+id.Name] = change.Action.String()
		}
	}
}
