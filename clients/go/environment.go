package sealward

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// defaultEndpoint is the address of a development server.
const defaultEndpoint = "https://127.0.0.1:7443"

// NewClientFromEnvironment creates a client from the environment variables of the command line. An empty variable counts as unset. No other
// function reads them.
//
//   - SEALWARD_ENDPOINT: the target. Default: https://127.0.0.1:7443.
//   - SEALWARD_CA, SEALWARD_CERT, SEALWARD_KEY: the files of the CA certificates, the client certificate and its key.
//   - SEALWARD_TOKEN_FILE: the file of a bearer token.
//   - SEALWARD_DEV with SEALWARD_AS: the folder of a development server, and the identity in it, such as writer. They set the CA, the certificate
//     and the key, and the endpoint unless SEALWARD_ENDPOINT does.
//
// The options apply after the variables.
func NewClientFromEnvironment(options ...Option) (*Client, error) {
	target, fromEnvironment, err := readEnvironment(os.Getenv)
	if err != nil {
		return nil, &SetupError{err}
	}
	return NewClient(target, append(fromEnvironment, options...)...)
}

func readEnvironment(variable func(string) string) (string, []Option, error) {
	target := variable("SEALWARD_ENDPOINT")
	ca, certificate, key := variable("SEALWARD_CA"), variable("SEALWARD_CERT"), variable("SEALWARD_KEY")
	dev, role := variable("SEALWARD_DEV"), variable("SEALWARD_AS")
	switch {
	case dev != "" && role == "":
		return "", nil, errors.New("sealward: SEALWARD_DEV requires SEALWARD_AS: admin, writer, reader, connector or auditor")
	case dev == "" && role != "":
		return "", nil, errors.New("sealward: SEALWARD_AS requires SEALWARD_DEV, the folder of `sealward-server dev`")
	case dev != "":
		tls := filepath.Join(dev, "tls")
		ca, certificate, key = filepath.Join(tls, "ca.pem"), filepath.Join(tls, role+".pem"), filepath.Join(tls, role+".key")
		if target == "" {
			endpoint, err := readEndpoint(filepath.Join(dev, "endpoint"))
			if err != nil {
				return "", nil, err
			}
			target = endpoint
		}
	}
	if target == "" {
		target = defaultEndpoint
	}
	if (certificate == "") != (key == "") {
		return "", nil, errors.New("sealward: SEALWARD_CERT and SEALWARD_KEY must be used together: the certificate and its private key")
	}
	var options []Option
	if ca != "" {
		options = append(options, WithCAFile(ca))
	}
	if certificate != "" {
		options = append(options, WithIdentityFiles(certificate, key))
	}
	if token := variable("SEALWARD_TOKEN_FILE"); token != "" {
		options = append(options, WithBearerTokenFile(token))
	}
	return target, options, nil
}

// readEndpoint reads the endpoint that a development server wrote. Empty if there is no file.
func readEndpoint(path string) (string, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("sealward: can't read %s: %w", path, reasonOf(err))
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, endpointMaxBytes))
	if err != nil {
		return "", fmt.Errorf("sealward: can't read %s: %w", path, reasonOf(err))
	}
	if !strings.HasPrefix(string(text), "https://") {
		return "", fmt.Errorf("sealward: %s doesn't contain an https URL: set SEALWARD_ENDPOINT", path)
	}
	return strings.TrimSpace(string(text)), nil
}
