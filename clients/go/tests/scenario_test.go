package tests

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"go.yaml.in/yaml/v3"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/sealward/sealward/clients/go"
)

// The format of the scenario is described in clients/scenario/README.md.

type scenario struct {
	Name   string
	Server struct {
		Plaintext bool
		Settings  map[string]any
	}
	Steps []step
}

type step struct {
	Name       string
	As         string
	Call       string
	Request    any
	Requests   any
	Raw        *string
	Metadata   map[string]string
	Connection string
	KeepOpen   bool `yaml:"keep_open"`
	Expect     struct {
		Answer any
		Stream *struct {
			Min  int
			Last any
		}
		Error *expectedError
	}
	Save map[string]string
}

type expectedError struct {
	Code            string
	Reason          string
	Domain          string
	Metadata        map[string]any
	FieldViolations []any `yaml:"field_violations"`
	Retry           bool
}

// A run is a scenario that runs.
type run struct {
	t         *testing.T
	server    *server
	clients   map[string]*sealward.Client
	variables map[string]any
	open      context.Context
}

func scenarioFolder() string {
	if folder := os.Getenv("SEALWARD_SCENARIO"); folder != "" {
		return folder
	}
	return filepath.Join("..", "..", "scenario")
}

func TestScenario(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(scenarioFolder(), "*.yaml"))
	check(t, err)
	if len(files) == 0 {
		t.Fatalf("there is no scenario in %s", scenarioFolder())
	}
	var steps atomic.Int64
	t.Run("files", func(t *testing.T) {
		for _, file := range files {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
				t.Parallel()
				runScenario(t, file, &steps)
			})
		}
	})
	t.Logf("%d files, %d steps", len(files), steps.Load())
}

func runScenario(t *testing.T, file string, steps *atomic.Int64) {
	content, err := os.ReadFile(file)
	check(t, err)
	var read scenario
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	check(t, decoder.Decode(&read))
	settings := map[string]any{}
	maps.Copy(settings, read.Server.Settings)
	if read.Server.Plaintext {
		settings["listen.plaintext_address"] = "127.0.0.1:0"
	}
	open, cancel := context.WithCancel(t.Context())
	defer cancel()
	running := &run{t: t, server: newServer(t, settings), clients: map[string]*sealward.Client{}, variables: map[string]any{}, open: open}
	for number, step := range read.Steps {
		if err := running.step(step); err != nil {
			t.Fatalf("%s: step %d, %s: %v", filepath.Base(file), number+1, step.Name, err)
		}
		steps.Add(1)
	}
}

func (r *run) step(step step) error {
	method, err := findMethod(step.Call)
	if err != nil {
		return err
	}
	ctx := r.open
	for name, value := range step.Metadata {
		ctx = metadata.AppendToOutgoingContext(ctx, name, fmt.Sprint(r.resolve(value, nil)))
	}
	client := r.client(step)
	answers, err := r.call(ctx, client, method, step)
	if step.Expect.Error != nil {
		return r.compareError(step.Expect.Error, err)
	}
	if err != nil {
		return err
	}
	if step.Expect.Stream != nil {
		if len(answers) < step.Expect.Stream.Min {
			return fmt.Errorf("%d messages, expected at least %d", len(answers), step.Expect.Stream.Min)
		}
		if step.Expect.Stream.Last != nil {
			if len(answers) == 0 {
				return errors.New("no message")
			}
			err = r.compareAnswer(step.Expect.Stream.Last, answers[len(answers)-1])
		}
	} else {
		err = r.compareAnswer(step.Expect.Answer, answers[0])
	}
	if err != nil {
		return err
	}
	return r.save(step, answers)
}

func findMethod(call string) (protoreflect.MethodDescriptor, error) {
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(call, "/", ".")))
	if err != nil {
		return nil, fmt.Errorf("%s isn't a method of the contract: %w", call, err)
	}
	return found.(protoreflect.MethodDescriptor), nil
}

// client returns the client of the step's identity: one for each identity, or a new one.
func (r *run) client(step step) *sealward.Client {
	if client := r.clients[step.As]; client != nil && step.Connection != "new" {
		return client
	}
	var client *sealward.Client
	var err error
	switch step.As {
	case "plaintext":
		client, err = sealward.NewClient("http://"+r.server.plaintext, sealward.WithPlaintext())
	case "nobody":
		client, err = sealward.NewClient(r.server.endpoint, sealward.WithCAFile(filepath.Join(r.server.folder, "tls", "ca.pem")))
	default:
		client = r.server.connect(r.t, step.As, sealward.WithRetry(sealward.NeverRetry()))
	}
	check(r.t, err)
	r.t.Cleanup(func() { _ = client.Close() })
	if r.clients[step.As] == nil {
		r.clients[step.As] = client
	}
	return client
}

// call makes the call of a step, and returns the messages of the server.
func (r *run) call(ctx context.Context, client *sealward.Client, method protoreflect.MethodDescriptor, step step) ([]proto.Message, error) {
	path := "/" + step.Call
	var requests []any
	switch {
	case step.Raw != nil:
		raw, err := base64.StdEncoding.DecodeString(*step.Raw)
		if err != nil {
			return nil, err
		}
		answer := newMessage(method.Output())
		return []proto.Message{answer}, client.Conn().Invoke(ctx, path, rawMessage(raw), answer, grpc.ForceCodec(rawCodec{}))
	case step.Requests != nil:
		requests = r.requests(step.Requests)
	default:
		requests = []any{r.resolve(step.Request, nil)}
	}
	var messages []proto.Message
	for _, request := range requests {
		message := newMessage(method.Input())
		if request != nil {
			encoded, err := json.Marshal(request)
			if err != nil {
				return nil, err
			}
			if err := protojson.Unmarshal(encoded, message); err != nil {
				return nil, fmt.Errorf("the request isn't a %s", method.Input().FullName())
			}
		}
		messages = append(messages, message)
	}
	if !method.IsStreamingClient() && !method.IsStreamingServer() {
		answer := newMessage(method.Output())
		return []proto.Message{answer}, client.Conn().Invoke(ctx, path, messages[0], answer)
	}
	return r.stream(ctx, client, method, path, messages, step.KeepOpen)
}

func (r *run) stream(
	ctx context.Context, client *sealward.Client, method protoreflect.MethodDescriptor, path string, requests []proto.Message, keepOpen bool,
) ([]proto.Message, error) {
	description := &grpc.StreamDesc{ServerStreams: method.IsStreamingServer(), ClientStreams: method.IsStreamingClient()}
	stream, err := client.Conn().NewStream(ctx, description, path)
	if err != nil {
		return nil, err
	}
	for _, request := range requests {
		// After io.EOF, RecvMsg has the error of the server.
		if err := stream.SendMsg(request); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	var answers []proto.Message
	for {
		answer := newMessage(method.Output())
		err := stream.RecvMsg(answer)
		if errors.Is(err, io.EOF) {
			return answers, nil
		}
		if err != nil {
			return answers, err
		}
		answers = append(answers, answer)
		if keepOpen || !method.IsStreamingServer() {
			return answers, nil
		}
	}
}

// requests returns the messages of a client stream.
func (r *run) requests(requests any) []any {
	if list, isList := requests.([]any); isList {
		return r.resolve(list, nil).([]any)
	}
	each := requests.(map[string]any)
	var all []any
	for _, item := range r.resolve(each["for_each"], nil).([]any) {
		all = append(all, r.resolve(each["request"], item))
	}
	return all
}

var variable = regexp.MustCompile(`^\$([a-z][a-z0-9_.]*)$`)
var inText = regexp.MustCompile(`\$\{([a-z][a-z0-9_.]*)\}`)

// resolve replaces variables in a value.
func (r *run) resolve(value, item any) any {
	switch value := value.(type) {
	case string:
		if found := variable.FindStringSubmatch(value); found != nil {
			return r.variable(found[1], item)
		}
		return inText.ReplaceAllStringFunc(value, func(text string) string {
			return fmt.Sprint(r.variable(inText.FindStringSubmatch(text)[1], item))
		})
	case map[string]any:
		resolved := map[string]any{}
		for name, element := range value {
			resolved[name] = r.resolve(element, item)
		}
		return resolved
	case []any:
		resolved := make([]any, len(value))
		for position, element := range value {
			resolved[position] = r.resolve(element, item)
		}
		return resolved
	default:
		return value
	}
}

func (r *run) variable(name string, item any) any {
	kind, rest, _ := strings.Cut(name, ".")
	if kind == "text" && rest != "" {
		length, err := strconv.Atoi(rest)
		check(r.t, err)
		return strings.Repeat("x", length)
	}
	if name == "any" {
		return anything
	}
	if name == "item" {
		return item
	}
	if known, isKnown := r.variables[name]; isKnown {
		return known
	}
	switch kind {
	case "uuid":
		r.variables[name] = sealward.NewRequestID()
	case "secret":
		r.variables[name] = newSecret()
	default:
		r.t.Fatalf("no step has saved $%s", name)
	}
	return r.variables[name]
}

// newSecret returns a random text with a letter, a digit and a symbol.
func newSecret() string {
	return "a1#" + rand.Text()
}

// anything is the value that matches any other than those that null matches, and than the empty text.
const anything = "\x00any"

// compareAnswer compares an answer with the expected subset. Its errors have the expectation before the variables are replaced, and the answer
// without secrets.
func (r *run) compareAnswer(expected any, answer proto.Message) error {
	actual, err := toJSON(answer, protojson.MarshalOptions{UseProtoNames: true})
	if err != nil {
		return err
	}
	if path := mismatch(plain(r.resolve(expected, nil)), actual, "answer"); path != "" {
		return fmt.Errorf("%s differs: expected %v, got {%v}", path, expected, answer)
	}
	return nil
}

func (r *run) compareError(expected *expectedError, err error) error {
	var failure *sealward.Error
	if !errors.As(err, &failure) {
		return fmt.Errorf("expected %s %s, got %v", expected.Code, expected.Reason, err)
	}
	domain, hasRetry := "", false
	for _, detail := range status.Convert(err).Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			domain = detail.GetDomain()
		case *errdetails.RetryInfo:
			hasRetry = true
		}
	}
	var violations []any
	for _, violation := range failure.FieldViolations {
		violations = append(violations, map[string]any{"field": violation.Field, "reason": violation.Reason, "description": violation.Description})
	}
	wanted := map[string]any{"code": expected.Code, "domain": "sealward"}
	if expected.Domain != "" {
		wanted["domain"] = expected.Domain
	}
	if expected.Reason != "" {
		wanted["reason"] = expected.Reason
	}
	if expected.Metadata != nil {
		wanted["metadata"] = expected.Metadata
	}
	if expected.FieldViolations != nil {
		wanted["field_violations"] = expected.FieldViolations
	}
	if expected.Retry {
		wanted["retry"] = true
	}
	actual := map[string]any{
		"code": code(failure), "domain": domain, "reason": failure.ReasonName, "metadata": failure.Metadata, "field_violations": violations,
		"retry": hasRetry,
	}
	if path := mismatch(plain(r.resolve(wanted, nil)), plain(actual), "error"); path != "" {
		return fmt.Errorf("%s differs: expected %v, got %v with %v", path, wanted, failure, actual)
	}
	if failure.CallID == "" {
		return fmt.Errorf("%v has no call id", failure)
	}
	return nil
}

// code returns the name of the code as in the contract.
func code(failure *sealward.Error) string {
	for _, attribute := range failure.LogValue().Group() {
		if attribute.Key == "code" {
			return attribute.Value.String()
		}
	}
	return ""
}

// mismatch returns the path of the first difference. Empty if expected is a subset of actual.
func mismatch(expected, actual any, path string) string {
	switch expected := expected.(type) {
	case nil:
		if actual == nil {
			return ""
		}
	case map[string]any:
		object, isObject := actual.(map[string]any)
		if !isObject && (actual != nil || len(expected) != 0) {
			return path
		}
		for _, name := range slices.Sorted(maps.Keys(expected)) {
			if found := mismatch(expected[name], object[name], path+"."+name); found != "" {
				return found
			}
		}
		return ""
	case []any:
		list, isList := actual.([]any)
		if !isList && actual != nil || len(list) != len(expected) {
			return path
		}
		for position, element := range expected {
			if found := mismatch(element, list[position], fmt.Sprintf("%s.%d", path, position)); found != "" {
				return found
			}
		}
		return ""
	case json.Number:
		if text := fmt.Sprint(actual); isSameNumber(expected.String(), text) || actual == nil && isSameNumber(expected.String(), "0") {
			return ""
		}
	case bool:
		if actual == expected || actual == nil && !expected {
			return ""
		}
	case string:
		if expected == anything && actual != nil && actual != "" || actual == expected || actual == nil && expected == "" {
			return ""
		}
	}
	return path
}

func isSameNumber(one, other string) bool {
	first, err := strconv.ParseFloat(one, 64)
	second, otherErr := strconv.ParseFloat(other, 64)
	return err == nil && otherErr == nil && first == second
}

// save saves variables from the answers.
func (r *run) save(step step, answers []proto.Message) error {
	options := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}
	for name, path := range step.Save {
		var value any
		switch {
		case strings.HasPrefix(path, "*."):
			values := []any{}
			for _, answer := range answers {
				found, err := valueAt(answer, options, strings.TrimPrefix(path, "*."))
				if err != nil {
					return err
				}
				values = append(values, found)
			}
			value = values
		default:
			found, err := valueAt(answers[len(answers)-1], options, strings.TrimPrefix(path, "last."))
			if err != nil {
				return err
			}
			value = found
		}
		r.variables[name] = value
	}
	return nil
}

func valueAt(answer proto.Message, options protojson.MarshalOptions, path string) (any, error) {
	value, err := toJSON(answer, options)
	if err != nil {
		return nil, err
	}
	for _, part := range strings.Split(path, ".") {
		switch container := value.(type) {
		case map[string]any:
			value = container[part]
		case []any:
			position, err := strconv.Atoi(part)
			if err != nil || position >= len(container) {
				return nil, fmt.Errorf("the answer has no %s", path)
			}
			value = container[position]
		default:
			return nil, fmt.Errorf("the answer has no %s", path)
		}
	}
	return value, nil
}

func toJSON(message proto.Message, options protojson.MarshalOptions) (any, error) {
	encoded, err := options.Marshal(message)
	if err != nil {
		return nil, err
	}
	return decodeJSON(encoded)
}

// plain returns a value with the types of JSON.
func plain(value any) any {
	encoded, err := json.Marshal(value)
	if err != nil {
		return nil
	}
	decoded, err := decodeJSON(encoded)
	if err != nil {
		return nil
	}
	return decoded
}

func decodeJSON(encoded []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.UseNumber()
	var value any
	return value, decoder.Decode(&value)
}

func newMessage(descriptor protoreflect.MessageDescriptor) proto.Message {
	found, err := protoregistry.GlobalTypes.FindMessageByName(descriptor.FullName())
	if err != nil {
		panic(err)
	}
	return found.New().Interface()
}

// rawMessage is a request of any bytes, which rawCodec sends as they are.
type rawMessage []byte

type rawCodec struct{}

func (rawCodec) Marshal(value any) ([]byte, error) {
	return value.(rawMessage), nil
}

func (rawCodec) Unmarshal(content []byte, value any) error {
	return proto.Unmarshal(content, value.(proto.Message))
}

func (rawCodec) Name() string {
	return "proto"
}
