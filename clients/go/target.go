package sealward

import (
	"fmt"
	"net"
	"net/url"
)

// parseTarget returns the gRPC target of a URL or gRPC target.
func parseTarget(target string, isPlaintext bool) (string, error) {
	parsed, err := url.Parse(target)
	if err != nil {
		// The error of package url has the target, which can contain a password.
		return "", fmt.Errorf("sealward: the target isn't a URL: use a URL such as https://127.0.0.1:7443")
	}
	invalid := fmt.Errorf("sealward: invalid target %q: use a URL such as https://127.0.0.1:7443, or dns:///sealward.example.com:7443",
		parsed.Redacted())
	if parsed.User != nil || parsed.RawQuery != "" || parsed.Fragment != "" {
		return "", invalid
	}
	switch parsed.Scheme {
	case "dns":
		if len(parsed.Path) < 2 || parsed.Path[0] != '/' {
			return "", invalid
		}
		return target, nil
	case "https", "http":
		if parsed.Hostname() == "" || (parsed.Path != "" && parsed.Path != "/") {
			return "", invalid
		}
	default:
		return "", invalid
	}
	switch {
	case parsed.Scheme == "http" && !isPlaintext:
		return "", fmt.Errorf("sealward: target %q has no TLS: use https://, or WithPlaintext for diagnostics", target)
	case parsed.Scheme == "https" && isPlaintext:
		return "", fmt.Errorf("sealward: target %q has TLS, but WithPlaintext is set: use http://", target)
	}
	port := parsed.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[parsed.Scheme]
	}
	return "dns:///" + net.JoinHostPort(parsed.Hostname(), port), nil
}
