package sealward

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	sealwardmailv1 "github.com/sealward/sealward/clients/go/sealward/mail/v1"
	sealwardv1 "github.com/sealward/sealward/clients/go/sealward/v1"
)

func TestTargetIsAURLOrADNSName(t *testing.T) {
	for target, want := range map[string]string{
		"https://127.0.0.1:7443":                 "dns:///127.0.0.1:7443",
		"https://127.0.0.1:7443/":                "dns:///127.0.0.1:7443",
		"https://sealward.example.com":           "dns:///sealward.example.com:443",
		"https://[::1]:7443":                     "dns:///[::1]:7443",
		"dns:///sealward.example.com:7443":       "dns:///sealward.example.com:7443",
		"dns://192.0.2.1/sealward.example.com:1": "dns://192.0.2.1/sealward.example.com:1",
	} {
		got, err := parseTarget(target, false)
		if err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", target, got, err, want)
		}
	}
	for _, target := range []string{
		"", "127.0.0.1:7443", "localhost", "ftp://127.0.0.1", "https://", "https://h/path", "https://h?query", "https://user:canary@h",
		"dns:///", "dns:h", "unix:///socket", "https://user:canary@h:port",
	} {
		got, err := parseTarget(target, false)
		if err == nil || got != "" {
			t.Errorf("%s: got %q, want an error", target, got)
		} else if strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error discloses the password: %v", target, err)
		}
	}
}

func TestPlaintextNeedsAnExplicitChoice(t *testing.T) {
	for _, refused := range []struct {
		target  string
		options []Option
		want    string
	}{
		{"http://127.0.0.1:7080", nil, "has no TLS"},
		{"https://127.0.0.1:7443", []Option{WithPlaintext()}, "has TLS, but WithPlaintext is set"},
		{"http://127.0.0.1:7080", []Option{WithPlaintext(), WithBearerToken("token")}, "bearer tokens require TLS"},
	} {
		_, err := NewClient(refused.target, refused.options...)
		if err == nil || !strings.Contains(err.Error(), refused.want) {
			t.Errorf("%s: got %v, want %q", refused.target, err, refused.want)
		}
	}
	client, err := NewClient("http://127.0.0.1:7080", WithPlaintext())
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestBoundsThatAreNotPositiveAreRefused(t *testing.T) {
	for _, option := range []Option{WithTimeout(0), WithTimeout(-1), WithMessageSizeMax(0)} {
		if _, err := NewClient("https://127.0.0.1:7443", option); err == nil || !strings.Contains(err.Error(), "must be positive") {
			t.Errorf("got %v", err)
		}
	}
}

func TestUnusablePEMIsRefusedWithTheFile(t *testing.T) {
	folder := t.TempDir()
	files := newTestCertificates(t).write(t, folder)
	certificate, err := os.ReadFile(files.ca)
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(files.key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(content []byte) string {
		path := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cases := map[string]struct {
		options []Option
		want    string
	}{
		"missing":     {[]Option{WithCAFile("/nowhere/ca.pem")}, "can't read the CA file /nowhere/ca.pem: no such file or directory"},
		"text":        {[]Option{WithCAPEM([]byte("text"))}, "can't use the CA: it has no certificate in PEM"},
		"a key":       {[]Option{WithCAPEM(append(bytes.Clone(certificate), key...))}, "it has a section"},
		"half":        {[]Option{WithCAFile(write(append(bytes.Clone(certificate), certificate[:60]...)))}, "the section after certificate 1 isn't valid PEM"},
		"not DER":     {[]Option{WithCAPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1}}))}, "certificate 1:"},
		"no key":      {[]Option{WithIdentityFiles(files.certificate, "/nowhere/key")}, "can't read the client key file /nowhere/key"},
		"another key": {[]Option{WithIdentityFiles(files.ca, files.key)}, "private key does not match public key"},
	}
	for name, refused := range cases {
		_, err := NewClient("https://127.0.0.1:7443", refused.options...)
		if err == nil || !strings.Contains(err.Error(), refused.want) {
			t.Errorf("%s: got %v, want %q", name, err, refused.want)
		}
	}
}

func TestKeyFileAccessibleByOthersGivesAWarningOnce(t *testing.T) {
	files := newTestCertificates(t).write(t, t.TempDir())
	var log bytes.Buffer
	connect := func() {
		client, err := NewClient("https://127.0.0.1:7443", WithIdentityFiles(files.certificate, files.key),
			WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		if err != nil {
			t.Fatal(err)
		}
		_ = client.Close()
	}
	connect()
	if log.Len() != 0 {
		t.Fatalf("warning for a private key file: %s", log.String())
	}
	for _, mode := range []os.FileMode{0o620, 0o640, 0o604} {
		if err := os.Chmod(files.key, mode); err != nil {
			t.Fatal(err)
		}
		connect()
	}
	if strings.Count(log.String(), "other users can access the client key") != 1 || !strings.Contains(log.String(), "mode=0620") {
		t.Fatalf("got %q", log.String())
	}
}

func TestPEMInsteadOfAPathIsRefusedWithoutPrintingIt(t *testing.T) {
	certificates := newTestCertificates(t)
	files := certificates.write(t, t.TempDir())
	for want, option := range map[string]Option{
		"the path of the CA file is PEM":                 WithCAFile(string(certificates.ca)),
		"the path of the client certificate file is PEM": WithIdentityFiles(string(certificates.certificate), files.key),
		"the path of the client key file is PEM":         WithIdentityFiles(files.certificate, string(certificates.key)),
	} {
		_, err := NewClient("https://127.0.0.1:7443", option)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), pemBegin) {
			t.Errorf("got %d characters, want %q", len(fmt.Sprint(err)), want)
		}
	}
}

func TestFaultOfATokenIsNamedWithoutTheToken(t *testing.T) {
	if token, problem := parseToken([]byte(" a.b-c_d~e+f/g=\r\n")); token != "a.b-c_d~e+f/g=" || problem != "" {
		t.Fatalf("got %q, %q", token, problem)
	}
	for given, want := range map[string]string{
		"":                             "is empty",
		" \n":                          "is empty",
		"Bearer canary":                `begins with "Bearer "`,
		"bearer canary":                `begins with "Bearer "`,
		"\xef\xbb\xbfcanary":           "byte order mark",
		"\xff\xfec\x00":                "UTF-16",
		"canary\xff":                   "isn't valid UTF-8",
		`{"access_token": "canary"}`:   "JSON",
		"canary canary":                "more than one word",
		"can\u00e4ry":                  "invalid character",
		"can\x1bary":                   "invalid character",
		"canary\r\nx-other-header: y1": "more than one word",
	} {
		token, problem := parseToken([]byte(given))
		if token != "" || !strings.Contains(problem, want) || strings.Contains(problem, "canary") {
			t.Errorf("%q: got %q, %q", given, token, problem)
		}
	}
	if _, err := NewClient("https://127.0.0.1:7443", WithBearerToken("Bearer canary")); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v", err)
	}
}

func TestTokenThatIsGivenAsAPathIsNotPrinted(t *testing.T) {
	const token = "eyJhbGciOiJFUzI1NiJ9.e30.Y2FuYXJ5"
	missing := filepath.Join(t.TempDir(), "missing")
	for path, isShown := range map[string]bool{token: false, "canary/" + token: false, "canary": false, missing: true} {
		client, err := NewClient("https://127.0.0.1:1", WithBearerTokenFile(path))
		check(t, err)
		_, err = client.Access.WhoAmI(t.Context(), &sealwardv1.WhoAmIRequest{})
		if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, path) != isShown || !strings.Contains(text, "can't read the token file") {
			t.Errorf("%s: got %s", path, text)
		}
		check(t, client.Close())
	}
}

func TestSetupErrorsHaveAType(t *testing.T) {
	for _, options := range [][]Option{{WithTimeout(0)}, {WithCAFile("/nowhere/ca.pem")}, {WithPlaintext()}, {WithRetry(RetryPolicy{})}} {
		_, err := NewClient("https://127.0.0.1:7443", options...)
		var setup *SetupError
		if !errors.As(err, &setup) || !strings.HasPrefix(setup.Error(), "sealward: ") {
			t.Errorf("got %T %v", err, err)
		}
	}
}

func TestOutcomeIsUnknownAfterSomeFailures(t *testing.T) {
	const (
		unknown  = sealwardv1.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN
		shutting = sealwardv1.ErrorReason_ERROR_REASON_SHUTTING_DOWN
	)
	for _, test := range []struct {
		origin Origin
		code   codes.Code
		reason sealwardv1.ErrorReason
		want   bool
	}{
		{OriginBroken, codes.Unavailable, 0, true},
		{OriginTimedOut, codes.DeadlineExceeded, 0, true},
		{OriginCanceled, codes.Canceled, 0, true},
		{OriginUnreadable, codes.Internal, 0, true},
		{OriginNotConnected, codes.Unavailable, 0, false},
		{OriginTLSRefused, codes.Unavailable, 0, false},
		{OriginClient, codes.Unauthenticated, 0, false},
		{OriginServer, codes.Unavailable, unknown, true},
		{OriginServer, codes.Unavailable, shutting, false},
		{OriginServer, codes.Unavailable, 0, true},
		{OriginServer, codes.PermissionDenied, 0, false},
	} {
		failure := &Error{Origin: test.origin, Code: test.code, Reason: test.reason}
		if test.reason != 0 {
			failure.ReasonName = reasonName(test.reason.String())
		}
		if got := mayHaveTakenEffect(failure); got != test.want {
			t.Errorf("%+v: got %v", test, got)
		}
	}
}

func TestReadmeNamesWhatThePackageHas(t *testing.T) {
	parsed, err := parser.ParseDir(token.NewFileSet(), ".", func(file fs.FileInfo) bool { return !strings.HasSuffix(file.Name(), "_test.go") }, 0)
	check(t, err)
	declared := map[string]bool{}
	for _, one := range parsed {
		for _, file := range one.Files {
			ast.Inspect(file, func(node ast.Node) bool {
				switch node := node.(type) {
				case *ast.FuncDecl:
					declared[node.Name.Name] = true
					// The names in a function aren't the package's.
					return false
				case *ast.TypeSpec:
					declared[node.Name.Name] = true
				case *ast.ValueSpec:
					for _, name := range node.Names {
						declared[name.Name] = true
					}
				case *ast.Field:
					for _, name := range node.Names {
						declared[name.Name] = true
					}
				}
				return true
			})
		}
	}
	readme, err := os.ReadFile(filepath.Join("..", "README.md"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("a copy of this module has no README of all clients")
	}
	check(t, err)
	_, vocabulary, _ := strings.Cut(string(readme), "## Vocabulary")
	vocabulary, _, _ = strings.Cut(vocabulary, "\n## ")
	names := 0
	for line := range strings.Lines(vocabulary) {
		cells := strings.Split(line, "|")
		if len(cells) != 8 {
			continue
		}
		for _, found := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[4], -1) {
			if names++; !declared[found[1]] {
				t.Errorf("the package has no %s", found[1])
			}
		}
	}
	if names < 40 {
		t.Errorf("the README has only %d names", names)
	}
}

func TestRequestIDIsGeneratedOnlyForWritesWithoutOne(t *testing.T) {
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	request := &sealwardmailv1.DeleteMailboxRequest{Name: "organizations/a/mailboxes/b", Etag: "1"}
	filled, hasID := withRequestID(request)
	id := filled.(*sealwardmailv1.DeleteMailboxRequest).GetRequestId()
	if !hasID || !uuid.MatchString(id) || request.GetRequestId() != "" || filled.(*sealwardmailv1.DeleteMailboxRequest).GetEtag() != "1" {
		t.Errorf("got %v from %v", filled, request)
	}
	if again, _ := withRequestID(request); again.(*sealwardmailv1.DeleteMailboxRequest).GetRequestId() == id {
		t.Error("two calls have the same id")
	}
	given := &sealwardmailv1.DeleteMailboxRequest{RequestId: "an id"}
	if kept, hasID := withRequestID(given); !hasID || kept != any(given) {
		t.Errorf("got %v", kept)
	}
	for _, without := range []any{
		&sealwardmailv1.DeleteMailboxRequest{ValidateOnly: true}, &sealwardmailv1.GetMailboxRequest{},
		(*sealwardmailv1.DeleteMailboxRequest)(nil), &sealwardv1.CreateOrganizationRequest{}, "no message",
	} {
		if kept, hasID := withRequestID(without); hasID || kept != without {
			t.Errorf("%T: got %v", without, kept)
		}
	}
}

func TestOnlyTransientFailuresOfSafeCallsAreRetried(t *testing.T) {
	const (
		none     = sealwardv1.ErrorReason_ERROR_REASON_UNSPECIFIED
		unknown  = sealwardv1.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN
		running  = sealwardv1.ErrorReason_ERROR_REASON_SET_KEY_ALREADY_RUNNING
		shutting = sealwardv1.ErrorReason_ERROR_REASON_SHUTTING_DOWN
	)
	for _, test := range []struct {
		code         codes.Code
		reason       sealwardv1.ErrorReason
		hasDelay     bool
		read, id, no bool // whether a read, a write with an id, and a write without one is retried
	}{
		{codes.Unavailable, none, false, true, true, false},
		{codes.Unavailable, shutting, true, true, true, false},
		{codes.Unavailable, unknown, false, false, true, false},
		{codes.ResourceExhausted, none, true, true, true, false},
		{codes.ResourceExhausted, none, false, false, false, false},
		{codes.Unavailable, running, true, false, false, false},
		{codes.Aborted, running, true, false, false, false},
		{codes.DeadlineExceeded, none, false, false, false, false},
		{codes.Internal, none, true, false, false, false},
		{codes.NotFound, none, false, false, false, false},
	} {
		failure := &Error{Code: test.code, Reason: test.reason, hasRetryDelay: test.hasDelay, Origin: OriginServer}
		got := [3]bool{isRetryable(failure, true, false), isRetryable(failure, false, true), isRetryable(failure, false, false)}
		if want := [3]bool{test.read, test.id, test.no}; got != want {
			t.Errorf("%v %v: got %v, want %v", test.code, test.reason, got, want)
		}
	}
	if isRetryable(&Error{Code: codes.Unavailable, Origin: OriginTLSRefused}, true, true) {
		t.Error("a refused certificate is retried")
	}
}

func TestPausesDoubleUpToTheMaximum(t *testing.T) {
	failure := &Error{Code: codes.Unavailable, Origin: OriginServer}
	retry := DefaultRetry()
	retry.AttemptsMax = 100
	pause := func(attempts int, failure *Error, jitter float64) time.Duration {
		pause, isRetried := retry.pause(attempts, failure, true, false, jitter)
		if !isRetried {
			return -1
		}
		return pause
	}
	for attempts, want := range map[int]time.Duration{1: 100, 2: 200, 3: 400, 6: 3200, 7: 5000, 99: 5000, 100: -1} {
		if want > 0 {
			want *= time.Millisecond
		}
		if got := pause(attempts, failure, 1); got != want {
			t.Errorf("after %d attempts: got %v, want %v", attempts, got, want)
		}
	}
	if got := pause(1, failure, 0); got != 50*time.Millisecond {
		t.Errorf("without jitter: got %v", got)
	}
	for delay, want := range map[time.Duration]time.Duration{0: 100 * time.Millisecond, 5 * time.Second: 5 * time.Second, 5001 * time.Millisecond: -1} {
		advised := &Error{Code: codes.ResourceExhausted, Origin: OriginServer, RetryDelay: delay, hasRetryDelay: true}
		if got := pause(1, advised, 1); got != want {
			t.Errorf("advised %v: got %v, want %v", delay, got, want)
		}
	}
}

func TestPolicyNamesMethodsOfTheContract(t *testing.T) {
	if want := (RetryPolicy{4, 100 * time.Millisecond, 5 * time.Second}); policy.retry != want || policy.multiplier != 2 {
		t.Errorf("got %+v", policy)
	}
	known := map[string]bool{}
	for _, service := range services() {
		for _, method := range service.Methods {
			known["/"+service.ServiceName+"/"+method.MethodName] = true
		}
	}
	for method := range policy.methods {
		if !known[method] {
			t.Errorf("%s isn't a method of the contract", method)
		}
	}
	for method, want := range map[string]bool{
		"/sealward.mail.v1.MailboxService/GetMailbox":               true,
		"/sealward.v1.DataEncryptionService/IsDataEncryptionActive": true,
		"/sealward.mail.v1.MailboxService/CreateMailbox":            false,
		"/sealward.v1.DataEncryptionService/SetDataEncryptionKey":   false,
		"/sealward.v1.SecretAccessService/RevealAttributes":         false,
	} {
		if policy.methods[method] != want {
			t.Errorf("%s: got %v", method, !want)
		}
	}
}

func TestClientHasEveryServiceOfTheContract(t *testing.T) {
	fields := map[string]bool{}
	client := reflect.TypeFor[Client]()
	for i := range client.NumField() {
		fields[client.Field(i).Type.Name()] = true
	}
	listed := map[string]bool{}
	for _, service := range services() {
		listed[service.ServiceName] = true
	}
	count := 0
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			if !strings.HasPrefix(string(service.FullName()), "sealward.") {
				continue
			}
			count++
			if !fields[string(service.Name())+"Client"] || !listed[string(service.FullName())] {
				t.Errorf("there is no client of %s", service.FullName())
			}
		}
		return true
	})
	if count < 12 {
		t.Errorf("only %d services were found", count)
	}
}

func services() []grpc.ServiceDesc {
	return []grpc.ServiceDesc{
		sealwardv1.AccessService_ServiceDesc, sealwardv1.AuditService_ServiceDesc, sealwardv1.DataEncryptionService_ServiceDesc,
		sealwardv1.MetadataService_ServiceDesc, sealwardv1.OrganizationService_ServiceDesc, sealwardv1.SecretAccessService_ServiceDesc,
		sealwardv1.ServerService_ServiceDesc,
		sealwardmailv1.EmailServerProfileService_ServiceDesc, sealwardmailv1.MailboxConnectionService_ServiceDesc,
		sealwardmailv1.MailboxService_ServiceDesc, sealwardmailv1.QueueService_ServiceDesc, sealwardmailv1.UserSettingsService_ServiceDesc,
	}
}

func TestCompressionIsOnlyForRequestsWithoutSecrets(t *testing.T) {
	gzip := grpc.UseCompressor("gzip")
	wait := grpc.WaitForReady(true)
	for method, want := range map[string]int{
		"/sealward.mail.v1.MailboxService/GetMailbox":             2,
		"/sealward.mail.v1.MailboxService/CreateMailbox":          1,
		"/sealward.mail.v1.MailboxService/UpdateMailbox":          1,
		"/sealward.v1.DataEncryptionService/SetDataEncryptionKey": 1,
		"/sealward.v1.SecretAccessService/CompareAttribute":       1,
		"/unknown.v1.Service/Method":                              1,
	} {
		if got := len(withoutCompression(method, []grpc.CallOption{gzip, wait})); got != want {
			t.Errorf("%s: got %d options, want %d", method, got, want)
		}
	}
}

func TestEnvironmentIsThatOfTheCommandLine(t *testing.T) {
	dev := t.TempDir()
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(dev, "endpoint"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(variables map[string]string) (string, settings, error) {
		target, options, err := readEnvironment(func(name string) string { return variables[name] })
		read := defaultSettings()
		for _, option := range options {
			option(&read)
		}
		return target, read, err
	}
	target, got, err := read(nil)
	if target != "https://127.0.0.1:7443" || got.ca != nil || got.certificate != nil || got.tokens != nil || err != nil {
		t.Errorf("got %q, %v", target, err)
	}
	variables := map[string]string{
		"SEALWARD_ENDPOINT": "https://h:1", "SEALWARD_CA": "a", "SEALWARD_CERT": "b", "SEALWARD_KEY": "c", "SEALWARD_TOKEN_FILE": "d",
	}
	target, got, err = read(variables)
	if err != nil || target != "https://h:1" || got.ca.path != "a" || got.certificate.path != "b" || got.key.path != "c" || got.tokens != tokenFile("d") {
		t.Errorf("got %q, %v", target, err)
	}
	target, got, err = read(map[string]string{"SEALWARD_DEV": dev, "SEALWARD_AS": "writer"})
	if err != nil || target != defaultEndpoint || got.key.path != filepath.Join(dev, "tls", "writer.key") {
		t.Errorf("got %q, %v", target, err)
	}
	write("https://127.0.0.1:4711\n")
	if target, _, err = read(map[string]string{"SEALWARD_DEV": dev, "SEALWARD_AS": "writer"}); err != nil || target != "https://127.0.0.1:4711" {
		t.Errorf("got %q, %v", target, err)
	}
	write("http://127.0.0.1:4711\n")
	for _, refused := range []map[string]string{
		{"SEALWARD_DEV": dev, "SEALWARD_AS": "writer"}, {"SEALWARD_DEV": dev}, {"SEALWARD_AS": "writer"}, {"SEALWARD_CERT": "a"}, {"SEALWARD_KEY": "a"},
	} {
		if _, _, err := read(refused); err == nil {
			t.Errorf("%v: no error", refused)
		}
	}
}

func TestGeneratedKeyHasTheFormOfTheServersKeys(t *testing.T) {
	form := regexp.MustCompile(`^[0-9A-HJKMNP-TV-Z]{5}(-[0-9A-HJKMNP-TV-Z]{5}){6}$`)
	seen := map[string]bool{}
	for range 1000 {
		key := GenerateKeyText().ExposeText()
		if !form.MatchString(key) || !strings.ContainsAny(key, "0123456789") || !strings.ContainsAny(key, keyAlphabet[10:]) || seen[key] {
			t.Fatal("a generated key breaks the rule, or was generated twice")
		}
		seen[key] = true
	}
	drawn := make([]byte, 35)
	for position := range drawn {
		drawn[position] = byte(position)
	}
	if got := keyText(drawn); got != "01234-56789-ABCDE-FGHJK-MNPQR-STVWX-YZ012" {
		t.Errorf("got %s", got)
	}
}

func TestCodesHaveTheNamesOfTheContract(t *testing.T) {
	for code, want := range map[codes.Code]string{
		codes.OK: "OK", codes.Canceled: "CANCELLED", codes.FailedPrecondition: "FAILED_PRECONDITION", codes.DataLoss: "DATA_LOSS",
		codes.Unimplemented: "UNIMPLEMENTED",
	} {
		if got := codeName(code); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestCredentialsDoNotPrint(t *testing.T) {
	const canary = "canary"
	values := []any{
		NewSecret(canary), callToken{NewSecret(canary)}, &callToken{NewSecret(canary)}, pemText("client key", []byte(canary)), *pemText("client key", []byte(canary)),
		struct{ Token Secret }{NewSecret(canary)}, struct{ token Secret }{NewSecret(canary)},
	}
	for _, value := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
			text := fmt.Sprintf(verb, value)
			if strings.Contains(text, canary) || strings.Contains(strings.ToLower(text), fmt.Sprintf("%x", canary)) {
				t.Errorf("%T prints with %s: %s", value, verb, text)
			}
		}
	}
	// The search finds what does print.
	if text := fmt.Sprintf("%+v", struct{ Token string }{canary}); !strings.Contains(text, canary) {
		t.Error("the search finds nothing")
	}
}

var errNoToken = errors.New("the provider can't be reached")
