package sealward

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"iter"
	"strings"

	"google.golang.org/grpc/codes"

	sealwardv1 "github.com/sealward/sealward/clients/go/sealward/v1"
)

// ChangeKey sets a new encryption key of an organization, and returns the answer and the progress of the re-encryption. The change is durable
// when ChangeKey returns; the iteration only watches it, see [Client.WatchReencryption]. The call is never retried: if it isn't known whether the
// key was set, call ChangeKey again with the same key. A change to the current key changes nothing.
//
//	answer, progress, err := client.ChangeKey(ctx, "organizations/default", key)
//	if err != nil {
//		return err
//	}
//	fmt.Println("store the key with its fingerprint", answer.GetFingerprint())
//	for state, err := range progress {
//		if err != nil {
//			return err
//		}
//		fmt.Println(state.GetCellsDone(), "of", state.GetCellsTotal())
//	}
func (c *Client) ChangeKey(
	ctx context.Context, organization string, encryptionKey Secret,
) (*sealwardv1.SetDataEncryptionKeyResponse, iter.Seq2[*sealwardv1.Reencryption, error], error) {
	answer, err := c.DataEncryption.SetDataEncryptionKey(ctx, &sealwardv1.SetDataEncryptionKeyRequest{
		Organization: organization, EncryptionKey: encryptionKey.ExposeText(), ChangeEncryptionKey: true,
	})
	if err != nil {
		return nil, nil, err
	}
	// The server has just answered.
	return answer, c.watch(ctx, organization, watchFailuresMax), nil
}

// RestoreKey restores the encryption key of an inactive organization. It is never retried, because attempts count against a limit. A
// re-encryption that waited for the key continues: see [Client.WatchReencryption].
func (c *Client) RestoreKey(ctx context.Context, organization string, encryptionKey Secret) (*sealwardv1.SetDataEncryptionKeyResponse, error) {
	return c.DataEncryption.SetDataEncryptionKey(ctx, &sealwardv1.SetDataEncryptionKeyRequest{
		Organization: organization, EncryptionKey: encryptionKey.ExposeText(),
	})
}

// WatchReencryption iterates over the progress of a re-encryption, with at least one message per second, until it ends. If it waits for its key,
// the iteration ends after one message. If the connection breaks or reaches its maximum age, the stream is opened again, also with
// [NeverRetry]: once per second, at most 60 times without a message, and at most 5 times before the first one. The iteration ends after an
// error; the re-encryption continues.
func (c *Client) WatchReencryption(ctx context.Context, organization string) iter.Seq2[*sealwardv1.Reencryption, error] {
	return c.watch(ctx, organization, watchFailuresMaxAtFirst)
}

// watch is WatchReencryption with the maximum number of failures before the first message.
func (c *Client) watch(ctx context.Context, organization string, failuresMax int) iter.Seq2[*sealwardv1.Reencryption, error] {
	return func(yield func(*sealwardv1.Reencryption, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		failures, failuresMax := 0, failuresMax
		for {
			hasMessage := false
			isLast, err := c.watchOnce(ctx, organization, func(progress *sealwardv1.Reencryption) bool {
				hasMessage, failures, failuresMax = true, 0, watchFailuresMax
				return yield(progress, nil)
			})
			if isLast {
				return
			}
			failures++
			if failures > failuresMax || !c.isInterruption(err, hasMessage) {
				yield(nil, err)
				return
			}
			if sleep(ctx, c.connection.watchPause) != nil {
				yield(nil, contextError(ctx, sealwardv1.DataEncryptionService_WatchReencryption_FullMethodName))
				return
			}
		}
	}
}

// watchOnce reads one stream. It returns whether the iteration has ended, or why the stream has.
func (c *Client) watchOnce(ctx context.Context, organization string, yield func(*sealwardv1.Reencryption) bool) (bool, error) {
	stream, err := c.DataEncryption.WatchReencryption(ctx, &sealwardv1.WatchReencryptionRequest{Organization: organization})
	if err != nil {
		return false, err
	}
	for {
		progress, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if !yield(progress) {
			return true, nil
		}
	}
}

// isInterruption reports whether a stream ended for a reason that has nothing to do with the re-encryption. The token of a stream that had
// messages may have expired: the next stream asks for another one if the server refuses it again.
func (c *Client) isInterruption(err error, hasMessage bool) bool {
	var failure *Error
	if !errors.As(err, &failure) {
		return false
	}
	switch failure.Origin {
	case OriginTLSRefused, OriginCanceled, OriginClient, OriginUnreadable:
		return false
	}
	if hasMessage && c.connection.isTokenRefused(failure) {
		return true
	}
	// The server resets the stream of a caller that doesn't read. The caller gets CANCELLED without a reason.
	return failure.Code == codes.Unavailable || failure.Code == codes.Canceled && failure.ReasonName == ""
}

// RevealAttributes returns the values of encrypted attributes of a record, by attribute. An attribute without a value is absent. The audit trail
// records the call and its purpose. The call is never retried: each call adds an audit record.
func (c *Client) RevealAttributes(ctx context.Context, name string, attributes []string, purpose string) (map[string]Secret, error) {
	answer, err := c.SecretAccess.RevealAttributes(ctx, &sealwardv1.RevealAttributesRequest{Name: name, Attributes: attributes, Purpose: purpose})
	if err != nil {
		return nil, err
	}
	values := make(map[string]Secret, len(answer.GetValues()))
	for attribute, value := range answer.GetValues() {
		switch value := value.GetValue().(type) {
		case *sealwardv1.SecretValue_Text:
			values[attribute] = NewSecret(value.Text)
		case *sealwardv1.SecretValue_Data:
			values[attribute] = NewSecret(string(value.Data))
		}
	}
	return values, nil
}

// The form of generated keys: seven groups of five characters of Crockford's Base32, which has no I, L, O and U.
const (
	keyGroups          = 7
	keyGroupCharacters = 5
	keyAlphabet        = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
)

// GenerateKeyText generates an encryption key with 175 random bits, such as 8FQ2M-….
func GenerateKeyText() Secret {
	for {
		var drawn [keyGroups * keyGroupCharacters]byte
		// crypto/rand never fails: it ends the program if the system has no random numbers.
		_, _ = rand.Read(drawn[:])
		if text := keyText(drawn[:]); strings.ContainsAny(text, keyAlphabet[:10]) && strings.ContainsAny(text, keyAlphabet[10:]) {
			return NewSecret(text)
		}
	}
}

// keyText returns the key of random bytes. 256 is a multiple of 32, so every character is equally likely.
func keyText(drawn []byte) string {
	var text strings.Builder
	for position, value := range drawn {
		if position > 0 && position%keyGroupCharacters == 0 {
			text.WriteByte('-')
		}
		text.WriteByte(keyAlphabet[int(value)%len(keyAlphabet)])
	}
	return text.String()
}
