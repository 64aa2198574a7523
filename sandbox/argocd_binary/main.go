// Argo CD's automated sync of one application, without its API, its repository server and its cache: a folder instead of
// a repository, compared and synced every few seconds. Each comparison is a line of standard output, as JSON.
//
// The comparison, the sync, pruning, the normalizer of ignoreDifferences and the health are Argo CD's modules. Their
// composition follows its controller, which cannot be imported without its servers: the functions below name theirs.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	appv1 "github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/argo/normalizers"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/argoproj/gitops-engine/pkg/cache"
	"github.com/argoproj/gitops-engine/pkg/diff"
	"github.com/argoproj/gitops-engine/pkg/health"
	"github.com/argoproj/gitops-engine/pkg/sync"
	"github.com/argoproj/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/gitops-engine/pkg/utils/kube/scheme"
	"github.com/argoproj/gitops-engine/pkg/utils/tracing"
	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"
)

const (
	// Argo CD's default way to know its resources, and its field manager.
	trackingAnnotation = "argocd.argoproj.io/tracking-id"
	fieldManager       = "argocd-controller"
	healthSettings     = "resource.customizations.health."
)

type application struct {
	name, namespace, folder      string
	prune, selfHeal, respect     bool
	ignores                      []appv1.ResourceIgnoreDifferences
	overrides                    map[string]appv1.ResourceOverride
	config                       *rest.Config
	cache                        cache.ClusterCache
	kubectl                      kube.Kubectl
	syncedRevision, failedReason string
}

type reported struct {
	Revision string `json:"revision"`
	// Synced or OutOfSync, before this round's sync.
	Status string `json:"status"`
	// Each resource that this round's sync has changed, with what was done.
	Changed map[string]string `json:"changed"`
	// Whether the application is Healthy, and what each resource's health is.
	Healthy bool              `json:"healthy"`
	Health  map[string]string `json:"health"`
	// Why nothing was synced although the status is OutOfSync, or what has failed.
	Message string `json:"message"`
}

func main() {
	app := application{}
	var kubeconfig, settings, ignored string
	var interval time.Duration
	// Of its own, because libraries add flags to the global one.
	flags := flag.NewFlagSet(os.Args[0], flag.ExitOnError)
	flags.StringVar(&kubeconfig, "kubeconfig", "", "the cluster")
	flags.StringVar(&app.name, "name", "", "the application's name")
	flags.StringVar(&app.namespace, "namespace", "", "the destination's namespace")
	flags.StringVar(&app.folder, "folder", "", "the folder with YAML; a link is followed again in each round")
	flags.StringVar(&settings, "settings", "", "a file with the ConfigMap argocd-cm")
	flags.StringVar(&ignored, "ignore-differences", "", "a JSON pointer, for Deployments")
	flags.BoolVar(&app.respect, "respect-ignore-differences", false, "as the sync option")
	flags.BoolVar(&app.prune, "prune", false, "as automated.prune")
	flags.BoolVar(&app.selfHeal, "self-heal", false, "as automated.selfHeal")
	flags.DurationVar(&interval, "interval", 2*time.Second, "between two rounds")
	check(flags.Parse(os.Args[1:]))
	if ignored != "" {
		app.ignores = []appv1.ResourceIgnoreDifferences{
			{Group: "apps", Kind: "Deployment", JSONPointers: []string{ignored}},
		}
	}
	check(app.readSettings(settings))
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	check(err)
	app.connect(config)
	check(app.cache.EnsureSynced())
	lines := json.NewEncoder(os.Stdout)
	for ; ; time.Sleep(interval) {
		done, err := app.round()
		if err != nil {
			done.Message = err.Error()
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

// readSettings reads health scripts, as util/settings does.
func (app *application) readSettings(path string) error {
	app.overrides = map[string]appv1.ResourceOverride{}
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var configMap struct {
		Data map[string]string `json:"data"`
	}
	if err := yaml.Unmarshal(content, &configMap); err != nil {
		return err
	}
	for key, script := range configMap.Data {
		if kind, found := strings.CutPrefix(key, healthSettings); found {
			app.overrides[strings.Replace(kind, "_", "/", 1)] = appv1.ResourceOverride{HealthLua: script}
		}
	}
	return nil
}

func (app *application) connect(config *rest.Config) {
	// The controller's own limits, for one application.
	config.QPS, config.Burst = 50, 100
	app.config = config
	app.kubectl = &kube.KubectlCmd{Log: logr.Discard(), Tracer: tracing.NopTracer{}}
	app.cache = cache.NewClusterCache(config,
		cache.SetNamespaces([]string{app.namespace}),
		cache.SetKubectl(app.kubectl),
		cache.SetLogr(logr.Discard()),
		cache.SetPopulateResourceInfoHandler(func(live *unstructured.Unstructured, _ bool) (any, bool) {
			id := live.GetAnnotations()[trackingAnnotation]
			return id, id != ""
		}),
	)
}

// targets reads the folder, and returns its objects with the digest of their text.
func (app *application) targets() ([]*unstructured.Unstructured, string, error) {
	folder, err := filepath.EvalSymlinks(app.folder)
	if err != nil {
		return nil, "", err
	}
	paths, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return nil, "", err
	}
	digest := sha256.New()
	var targets []*unstructured.Unstructured
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, "", err
		}
		digest.Write(content)
		objects, err := kube.SplitYAML(content)
		if err != nil {
			return nil, "", err
		}
		targets = append(targets, objects...)
	}
	for _, target := range targets {
		target.SetNamespace(app.namespace)
		annotations := target.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[trackingAnnotation] = app.trackingID(kube.GetResourceKey(target))
		target.SetAnnotations(annotations)
	}
	return targets, hex.EncodeToString(digest.Sum(nil))[:12], nil
}

func (app *application) trackingID(key kube.ResourceKey) string {
	return fmt.Sprintf("%s:%s/%s:%s/%s", app.name, key.Group, key.Kind, key.Namespace, key.Name)
}

// compare is CompareAppState: what is in the folder beside what is in the cluster, and where they differ.
func (app *application) compare(
	targets []*unstructured.Unstructured,
) (sync.ReconciliationResult, *diff.DiffResultList, error) {
	live, err := app.cache.GetManagedLiveObjs(targets, func(found *cache.Resource) bool {
		return found.Info == app.trackingID(found.ResourceKey())
	})
	if err != nil {
		return sync.ReconciliationResult{}, nil, err
	}
	result := sync.Reconcile(targets, live, app.namespace, app.cache)
	normalizer, err := app.normalizer()
	if err != nil {
		return sync.ReconciliationResult{}, nil, err
	}
	differences, err := diff.DiffArray(
		result.Target, result.Live, diff.WithNormalizer(normalizer), diff.WithLogr(logr.Discard()))
	return result, differences, err
}

func (app *application) normalizer() (diff.Normalizer, error) {
	return normalizers.NewIgnoreNormalizer(app.ignores, app.overrides, normalizers.IgnoreNormalizerOpts{})
}

// round is one refresh with autoSync behind it. Self-heal is not slowed down by its back-off, which begins with two
// seconds and is tripled with each attempt: this is the tool at its most eager.
func (app *application) round() (reported, error) {
	done := reported{Changed: map[string]string{}, Health: map[string]string{}}
	targets, revision, err := app.targets()
	if err != nil {
		return done, err
	}
	done.Revision = revision
	result, differences, err := app.compare(targets)
	if err != nil {
		return done, err
	}
	if err := app.judge(result, &done); err != nil {
		return done, err
	}
	outOfSync := map[kube.ResourceKey]bool{}
	pruneOnly := true
	for i, difference := range differences.Diffs {
		target, live := result.Target[i], result.Live[i]
		switch {
		case target == nil:
			outOfSync[kube.GetResourceKey(live)] = true
		case live == nil || difference.Modified:
			outOfSync[kube.GetResourceKey(target)] = true
			pruneOnly = false
		}
	}
	done.Status = "Synced"
	if len(outOfSync) == 0 {
		return done, nil
	}
	done.Status = "OutOfSync"
	attempted := revision == app.syncedRevision
	switch {
	case pruneOnly && !app.prune:
		done.Message = "need to prune extra resources only but automated prune is disabled"
	case attempted && app.failedReason != "":
		done.Message = "failed last sync attempt: " + app.failedReason
	case attempted && !app.selfHeal:
		done.Message = "most recent sync already to this revision"
	case app.prune && len(targets) == 0:
		done.Message = "auto-sync will wipe out all resources"
	default:
		if !attempted {
			outOfSync = nil
		}
		app.syncedRevision = revision
		err = app.sync(revision, result, differences, outOfSync, done.Changed)
		app.failedReason = ""
		if err != nil {
			app.failedReason = err.Error()
		}
		return done, err
	}
	return done, nil
}

// sync is SyncAppState; of a self-heal it handles those resources only that are out of sync.
func (app *application) sync(
	revision string, result sync.ReconciliationResult, differences *diff.DiffResultList, only map[kube.ResourceKey]bool,
	changed map[string]string,
) error {
	if app.respect {
		targets, err := app.respectIgnored(result)
		if err != nil {
			return err
		}
		result.Target = targets
	}
	propagation := metav1.DeletePropagationForeground
	syncing, cleanup, err := sync.NewSyncContext(revision, result, app.config, app.config, app.kubectl, app.namespace,
		app.cache.GetOpenAPISchema(),
		sync.WithLogr(logr.Discard()),
		sync.WithHealthOverride(lua.ResourceHealthOverrides(app.overrides)),
		sync.WithOperationSettings(false, app.prune, false, only != nil),
		sync.WithResourcesFilter(func(key kube.ResourceKey, _, _ *unstructured.Unstructured) bool {
			return only == nil || only[key]
		}),
		sync.WithManifestValidation(true),
		sync.WithResourceModificationChecker(false, differences),
		sync.WithPrunePropagationPolicy(&propagation),
		sync.WithServerSideApplyManager(fieldManager),
	)
	if err != nil {
		return err
	}
	defer cleanup()
	for {
		syncing.Sync()
		phase, message, results := syncing.GetState()
		if phase.Completed() {
			for _, each := range results {
				if !strings.HasSuffix(each.Message, " unchanged") {
					changed[name(each.ResourceKey)] = each.Message
				}
			}
			if !phase.Successful() {
				return fmt.Errorf("%s: %s", phase, message)
			}
			return nil
		}
		time.Sleep(time.Second) // the controller's operation refresh
	}
}

// respectIgnored is normalizeTargetResources: ignored fields get the values that they have in the cluster.
func (app *application) respectIgnored(result sync.ReconciliationResult) ([]*unstructured.Unstructured, error) {
	normalizer, err := app.normalizer()
	if err != nil {
		return nil, err
	}
	var patched []*unstructured.Unstructured
	for i, live := range result.Live {
		target := result.Target[i]
		if target == nil || live == nil {
			patched = append(patched, target)
			continue
		}
		normalizedTarget, normalizedLive := target.DeepCopy(), live.DeepCopy()
		if err := normalizer.Normalize(normalizedTarget); err != nil {
			return nil, err
		}
		if err := normalizer.Normalize(normalizedLive); err != nil {
			return nil, err
		}
		with, err := withIgnored(normalizedTarget, normalizedLive, live)
		if err != nil {
			return nil, err
		}
		patched = append(patched, with)
	}
	return patched, nil
}

// withIgnored is getMergePatch and applyMergePatch, for kinds that the scheme knows; no other kind is ignored here.
func withIgnored(target, normalized, live *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	known, err := scheme.Scheme.New(target.GroupVersionKind())
	if err != nil {
		return target, nil
	}
	meta, err := strategicpatch.NewPatchMetaFromStruct(known)
	if err != nil {
		return nil, err
	}
	liveJSON, err := live.MarshalJSON()
	if err != nil {
		return nil, err
	}
	normalizedJSON, err := normalized.MarshalJSON()
	if err != nil {
		return nil, err
	}
	patch, err := strategicpatch.CreateThreeWayMergePatch(liveJSON, liveJSON, normalizedJSON, meta, true)
	if err != nil {
		return nil, err
	}
	targetJSON, err := target.MarshalJSON()
	if err != nil {
		return nil, err
	}
	patchedJSON, err := strategicpatch.StrategicMergePatch(targetJSON, patch, known)
	if err != nil {
		return nil, err
	}
	patched := &unstructured.Unstructured{}
	return patched, patched.UnmarshalJSON(patchedJSON)
}

// judge is setApplicationHealth.
func (app *application) judge(result sync.ReconciliationResult, done *reported) error {
	worst := health.HealthStatusHealthy
	overrides := lua.ResourceHealthOverrides(app.overrides)
	for i, live := range result.Live {
		found := &health.HealthStatus{Status: health.HealthStatusMissing}
		key := kube.ResourceKey{}
		if live == nil {
			key = kube.GetResourceKey(result.Target[i])
		} else {
			key = kube.GetResourceKey(live)
			var err error
			if found, err = health.GetResourceHealth(live, overrides); err != nil {
				return err
			}
		}
		if found == nil {
			continue
		}
		done.Health[name(key)] = strings.TrimSuffix(string(found.Status)+": "+found.Message, ": ")
		if health.IsWorse(worst, found.Status) {
			worst = found.Status
		}
	}
	done.Healthy = worst == health.HealthStatusHealthy
	return nil
}

func name(key kube.ResourceKey) string {
	return key.Kind + "/" + key.Name
}
