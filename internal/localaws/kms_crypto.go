package localaws

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"maps"
	"slices"

	"github.com/google/uuid"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

type generateDataKeyIn struct {
	KeyID             string            `json:"KeyId" required:"true"`
	KeySpec           string            // "AES_256" or "AES_128"
	NumberOfBytes     *int64            // instead of KeySpec
	EncryptionContext map[string]string // must be the same when decrypting
	GrantTokens       []string
}

type dataKeyOut struct {
	CiphertextBlob []byte
	Plaintext      []byte `json:",omitempty"`
	KeyID          string `json:"KeyId"`
}

func generateDataKey(c *call, in *generateDataKeyIn) (*dataKeyOut, error) {
	size, err := in.size(c)
	if err != nil {
		return nil, err
	}
	key, err := c.usableKey(in.KeyID)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, size)
	_, _ = rand.Read(plain) // never fails
	return &dataKeyOut{CiphertextBlob: key.seal(plain, in.EncryptionContext), Plaintext: plain, KeyID: key.ARN}, nil
}

func generateDataKeyWithoutPlaintext(c *call, in *generateDataKeyIn) (*dataKeyOut, error) {
	out, err := generateDataKey(c, in)
	if err == nil {
		out.Plaintext = nil
	}
	return out, err
}

func (in *generateDataKeyIn) size(c *call) (int64, error) {
	switch {
	case in.KeySpec != "" && in.NumberOfBytes != nil, in.KeySpec == "" && in.NumberOfBytes == nil:
		return 0, refuse("ValidationException", "Please specify either number of bytes or key spec.")
	case in.KeySpec == "AES_256":
		return 32, nil
	case in.KeySpec == "AES_128":
		return 16, nil
	case in.KeySpec != "":
		return 0, c.unfit("Value '%s' at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set: [AES_256, AES_128]", in.KeySpec)
	case *in.NumberOfBytes < 1 || *in.NumberOfBytes > 1024:
		return 0, c.unfit("Value '%d' at 'numberOfBytes' failed to satisfy constraint: Member must be between 1 and 1024", *in.NumberOfBytes)
	}
	return *in.NumberOfBytes, nil
}

type kmsEncryptIn struct {
	KeyID             string `json:"KeyId" required:"true"`
	Plaintext         []byte `required:"true"`
	EncryptionContext map[string]string
	GrantTokens       []string
}

type kmsEncryptOut struct {
	CiphertextBlob      []byte
	KeyID               string `json:"KeyId"`
	EncryptionAlgorithm string
}

func kmsEncrypt(c *call, in *kmsEncryptIn) (*kmsEncryptOut, error) {
	key, err := c.usableKey(in.KeyID)
	if err != nil {
		return nil, err
	}
	return &kmsEncryptOut{key.seal(in.Plaintext, in.EncryptionContext), key.ARN, "SYMMETRIC_DEFAULT"}, nil
}

type kmsDecryptIn struct {
	CiphertextBlob    []byte `required:"true"`
	EncryptionContext map[string]string
	GrantTokens       []string
	KeyID             string `json:"KeyId"`
}

type kmsDecryptOut struct {
	KeyID               string `json:"KeyId"`
	Plaintext           []byte
	EncryptionAlgorithm string
}

func kmsDecrypt(c *call, in *kmsDecryptIn) (*kmsDecryptOut, error) {
	id, ok := sealedWith(in.CiphertextBlob)
	if !ok {
		return nil, refuse("InvalidCiphertextException", "")
	}
	key, err := c.usableKey(id)
	if err != nil {
		return nil, err
	}
	if in.KeyID != "" && c.server.kmsKey(c.caller.account, c.region, in.KeyID) != key {
		return nil, refuse("IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation.")
	}
	plain, ok := key.open(in.CiphertextBlob, in.EncryptionContext)
	if !ok {
		return nil, refuse("InvalidCiphertextException", "")
	}
	return &kmsDecryptOut{key.ARN, plain, "SYMMETRIC_DEFAULT"}, nil
}

// A sealed blob is the key's id, a nonce and AES-GCM's output, which binds the
// encryption context.
const sealedHeader = 16

func (k *kmsKey) seal(plain []byte, context map[string]string) []byte {
	id := uuid.MustParse(k.ID)
	gcm := k.gcm()
	nonce := make([]byte, gcm.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return gcm.Seal(slices.Concat(id[:], nonce), nonce, plain, contextBytes(context))
}

func (k *kmsKey) open(blob []byte, context map[string]string) ([]byte, bool) {
	gcm := k.gcm()
	rest := blob[sealedHeader:]
	if len(rest) < gcm.NonceSize() {
		return nil, false
	}
	plain, err := gcm.Open(nil, rest[:gcm.NonceSize()], rest[gcm.NonceSize():], contextBytes(context))
	return plain, err == nil
}

func sealedWith(blob []byte) (keyID string, ok bool) {
	if len(blob) < sealedHeader {
		return "", false
	}
	id, err := uuid.FromBytes(blob[:sealedHeader])
	return id.String(), err == nil
}

func (k *kmsKey) gcm() cipher.AEAD {
	block, err := aes.NewCipher(k.secret[:])
	if err != nil {
		panic("localaws: kms: " + err.Error())
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic("localaws: kms: " + err.Error())
	}
	return gcm
}

// contextBytes is an encryption context in one order: encoding/json sorts keys.
func contextBytes(context map[string]string) []byte {
	if len(context) == 0 {
		return nil
	}
	text, err := json.Marshal(context)
	if err != nil {
		return nil
	}
	return bytes.TrimSpace(text)
}
