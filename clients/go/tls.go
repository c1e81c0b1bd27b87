package sealward

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// A pemSource is PEM, or its file. The label names it in errors. It doesn't print: PEM can be a private key.
type pemSource struct {
	label string
	path  string
	text  Secret
}

func pemFile(label, path string) *pemSource {
	return &pemSource{label: label, path: path}
}

func pemText(label string, text []byte) *pemSource {
	return &pemSource{label: label, text: NewSecret(string(text))}
}

// pemBegin begins each section of PEM.
const pemBegin = "-----BEGIN"

// isPathText reports whether the path is PEM. It is then a private key that no error may contain.
func (p *pemSource) isPathText() bool {
	return strings.Contains(p.path, pemBegin)
}

func (p *pemSource) name() string {
	if p.path == "" || p.isPathText() {
		return p.label
	}
	return p.label + " " + p.path
}

func (p *pemSource) read() ([]byte, error) {
	if p.path == "" {
		return []byte(p.text.ExposeText()), nil
	}
	if p.isPathText() {
		return nil, fmt.Errorf("sealward: the path of the %s is PEM: use the path of a file, or pass the PEM to WithCAPEM or WithIdentityPEM", p.label)
	}
	text, err := os.ReadFile(p.path)
	if err != nil {
		return nil, fmt.Errorf("sealward: can't read the %s: %w", p.name(), reasonOf(err))
	}
	return text, nil
}

// reasonOf returns the error of the operating system, without the path.
func reasonOf(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}

// certificates parses a list of certificates. Everything in the list must be one: TLS would skip the rest, and then trust fewer CAs than the
// file has.
func (p *pemSource) certificates() ([]*x509.Certificate, error) {
	text, err := p.read()
	if err != nil {
		return nil, err
	}
	var certificates []*x509.Certificate
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("sealward: can't use the %s: it has a section %s: remove it", p.name(), block.Type)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("sealward: can't use the %s: certificate %d: %w", p.name(), len(certificates)+1, err)
		}
		certificates, text = append(certificates, certificate), rest
	}
	if len(certificates) == 0 {
		return nil, fmt.Errorf("sealward: can't use the %s: it has no certificate in PEM", p.name())
	}
	if strings.Contains(string(text), pemBegin) {
		return nil, fmt.Errorf("sealward: can't use the %s: the section after certificate %d isn't valid PEM", p.name(), len(certificates))
	}
	return certificates, nil
}

// transportCredentials returns the TLS of the connections. There is no setting that disables the verification of the server.
func (s *settings) transportCredentials() (credentials.TransportCredentials, error) {
	if s.isPlaintext {
		return insecure.NewCredentials(), nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.domainName}
	if s.ca != nil {
		certificates, err := s.ca.certificates()
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		for _, certificate := range certificates {
			config.RootCAs.AddCert(certificate)
		}
	}
	if s.certificate != nil {
		if _, err := readIdentity(s.certificate, s.key); err != nil {
			return nil, err
		}
		warnOfAccessibleKey(s.key.path, s.logger)
		certificate, key := s.certificate, s.key
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return readIdentity(certificate, key)
		}
	}
	return credentials.NewTLS(config), nil
}

func readIdentity(certificate, key *pemSource) (*tls.Certificate, error) {
	if _, err := certificate.certificates(); err != nil {
		return nil, err
	}
	certificateText, err := certificate.read()
	if err != nil {
		return nil, err
	}
	keyText, err := key.read()
	if err != nil {
		return nil, err
	}
	identity, err := tls.X509KeyPair(certificateText, keyText)
	if err != nil {
		return nil, fmt.Errorf("sealward: can't use the %s and the %s: %w", certificate.name(), key.name(), err)
	}
	return &identity, nil
}

// warnedKeys are the key files that a warning was logged for.
var warnedKeys sync.Map

// othersMayAccess are the permissions of group and others: to read the key, to replace it, and to execute its file.
const othersMayAccess = 0o077

func warnOfAccessibleKey(path string, logger *slog.Logger) {
	if path == "" || runtime.GOOS == "windows" {
		return
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&othersMayAccess == 0 {
		return
	}
	if _, isWarned := warnedKeys.LoadOrStore(path, true); !isWarned {
		logger.Warn("other users can access the client key: run chmod 600", "path", path, "mode", fmt.Sprintf("%04o", info.Mode().Perm()))
	}
}
