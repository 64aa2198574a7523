// What GitOps tools make of Kubernetes objects: the status that kstatus computes, as Flux and Helm do, and the result of
// a Lua script, as Argo CD runs it for health and actions. Each line of standard input is a question, and each line of
// standard output its answer, both as JSON.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"time"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	luajson "layeh.com/gopher-json"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// Argo CD stops a script after this time.
const scriptTime = time.Second

type question struct {
	Object json.RawMessage `json:"object"`
	// Empty: kstatus is asked.
	Script string `json:"script"`
}

type answer struct {
	Value json.RawMessage `json:"value,omitempty"`
	Error string          `json:"error,omitempty"`
}

func main() {
	lines := bufio.NewReader(os.Stdin)
	answers := json.NewEncoder(os.Stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		value, err := respond(line)
		if err != nil {
			err = answers.Encode(answer{Error: err.Error()})
		} else {
			err = answers.Encode(answer{Value: value})
		}
		if err != nil {
			os.Exit(1)
		}
	}
}

func respond(line []byte) (json.RawMessage, error) {
	var asked question
	if err := json.Unmarshal(line, &asked); err != nil {
		return nil, err
	}
	if asked.Script != "" {
		return run(asked.Script, asked.Object)
	}
	var object unstructured.Unstructured
	if err := object.UnmarshalJSON(asked.Object); err != nil {
		return nil, err
	}
	result, err := status.Compute(&object)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]string{"status": result.Status.String(), "message": result.Message})
}

// run does what Argo CD's util/lua does with libraries closed: base, package and table alone. Its `os` with time and date
// is left out, because no script of ours needs it.
func run(script string, object json.RawMessage) (json.RawMessage, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{{lua.LoadLibName, lua.OpenPackage}, {lua.BaseLibName, lua.OpenBase}, {lua.TabLibName, lua.OpenTable}} {
		call := lua.P{Fn: state.NewFunction(library.open), Protect: true}
		if err := state.CallByParam(call, lua.LString(library.name)); err != nil {
			return nil, err
		}
	}
	limited, cancel := context.WithTimeout(context.Background(), scriptTime)
	defer cancel()
	state.SetContext(limited)
	value, err := luajson.Decode(state, object)
	if err != nil {
		return nil, err
	}
	state.SetGlobal("obj", value)
	if err := state.DoString(script); err != nil {
		return nil, err
	}
	return luajson.Encode(state.Get(-1))
}
