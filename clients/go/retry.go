package sealward

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"

	sealwardv1 "github.com/sealward/sealward/clients/go/sealward/v1"
)

// serviceConfigJSON has the retry policy, and the methods that change nothing. It is derived from the contract.
//
//go:embed service_config.json
var serviceConfigJSON []byte

// RetryPolicy are the limits for retries of calls that are safe to repeat. The deadline of a call includes all attempts. Streams aren't retried.
type RetryPolicy struct {
	// AttemptsMax is the maximum number of attempts, including the first. 1 disables retries.
	AttemptsMax int
	// PauseFirst is the pause after the first failure. It doubles with each further failure. Half of each pause is random, so that clients don't
	// retry at the same time.
	PauseFirst time.Duration
	// PauseMax is the maximum pause. If the server requests a longer delay, the call fails at once, and the error has the delay.
	PauseMax time.Duration
}

// DefaultRetry returns the policy of the contract: 4 attempts, with pauses from 100 ms to 5 s.
func DefaultRetry() RetryPolicy {
	return policy.retry
}

// NeverRetry returns a policy without retries.
func NeverRetry() RetryPolicy {
	return RetryPolicy{AttemptsMax: 1}
}

// A serviceRetryPolicy says when a call is retried.
type serviceRetryPolicy struct {
	retry      RetryPolicy
	multiplier float64
	// methods are the paths of methods that change nothing, such as /sealward.v1.AuditService/ListAuditRecords.
	methods map[string]bool
}

var policy = readPolicy(serviceConfigJSON)

// readPolicy reads gRPC's service config. The file is part of this package, so an error is a fault of the package.
func readPolicy(text []byte) serviceRetryPolicy {
	var config struct {
		MethodConfig []struct {
			Name        []struct{ Service, Method string }
			RetryPolicy struct {
				MaxAttempts                int
				InitialBackoff, MaxBackoff string
				BackoffMultiplier          float64
			}
		}
	}
	if err := json.Unmarshal(text, &config); err != nil {
		panic(fmt.Sprintf("sealward: service_config.json: %v", err))
	}
	if len(config.MethodConfig) != 1 {
		panic("sealward: service_config.json must have one methodConfig")
	}
	first := config.MethodConfig[0]
	read := serviceRetryPolicy{
		retry: RetryPolicy{
			AttemptsMax: first.RetryPolicy.MaxAttempts,
			PauseFirst:  mustDuration(first.RetryPolicy.InitialBackoff),
			PauseMax:    mustDuration(first.RetryPolicy.MaxBackoff),
		},
		multiplier: first.RetryPolicy.BackoffMultiplier,
		methods:    map[string]bool{},
	}
	for _, name := range first.Name {
		read.methods["/"+name.Service+"/"+name.Method] = true
	}
	return read
}

func mustDuration(text string) time.Duration {
	duration, err := time.ParseDuration(text)
	if err != nil {
		panic(fmt.Sprintf("sealward: service_config.json: %v", err))
	}
	return duration
}

// pause returns the pause before the next attempt. False if the call isn't retried. jitter is between 0 and 1.
func (p RetryPolicy) pause(attempts int, failure *Error, isRead, hasRequestID bool, jitter float64) (time.Duration, bool) {
	if attempts >= p.AttemptsMax || !isRetryable(failure, isRead, hasRequestID) {
		return 0, false
	}
	backoff := p.backoff(attempts, jitter)
	if failure.hasRetryDelay {
		if failure.RetryDelay > p.PauseMax {
			return 0, false
		}
		return max(backoff, failure.RetryDelay), true
	}
	return backoff, true
}

// backoff returns the exponential backoff after a number of failed attempts. Half of it is jitter, so that clients don't retry at the same time.
func (p RetryPolicy) backoff(attempts int, jitter float64) time.Duration {
	full := min(float64(p.PauseFirst)*math.Pow(policy.multiplier, float64(attempts-1)), float64(p.PauseMax))
	return time.Duration(full * (0.5 + jitter/2))
}

// isRetryable reports whether a failure is transient, and the call safe to repeat.
func isRetryable(failure *Error, isRead, hasRequestID bool) bool {
	if !isRead && !hasRequestID {
		return false
	}
	if failure.Origin == OriginTLSRefused || failure.Origin == OriginClient {
		return false
	}
	switch failure.Reason {
	case sealwardv1.ErrorReason_ERROR_REASON_SET_KEY_ALREADY_RUNNING:
		return false
	case sealwardv1.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN:
		if !hasRequestID {
			return false
		}
	}
	switch failure.Code {
	case codes.Unavailable:
		return true
	case codes.ResourceExhausted:
		return failure.hasRetryDelay
	default:
		return false
	}
}

func jitter() float64 {
	return rand.Float64()
}
