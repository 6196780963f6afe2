package localaws

import (
	"bytes"
	"crypto/ed25519"
	"crypto/md5" //nolint:gosec // AWS's fingerprints of imported RSA keys are MD5
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // AWS's fingerprints of created RSA keys are SHA-1
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// A keyPair is the public half of one; EC2 never keeps the other.
type keyPair struct {
	id, name, kind, fingerprint, publicKey string
	created                                time.Time
}

// colons writes a digest in the form of MD5 fingerprints.
func colons(sum []byte) string {
	digits := hex.EncodeToString(sum)
	var parts []string
	for ; digits != ""; digits = digits[2:] {
		parts = append(parts, digits[:2])
	}
	return strings.Join(parts, ":")
}

type createKeyInput struct {
	dryRun
	tagSpecs
	Name   string  `query:"KeyName"`
	Type   *string `query:"KeyType"`
	Format *string `query:"KeyFormat"`
}

type createKeyOutput struct {
	ID          string   `xml:"keyPairId"`
	Name        string   `xml:"keyName"`
	Fingerprint string   `xml:"keyFingerprint"`
	Material    string   `xml:"keyMaterial,omitempty"`
	Tags        set[tag] `xml:"tagSet"`
}

func (p *ec2Place) checkKeyName(name string) error {
	if name == "" {
		return missing("KeyName")
	}
	if len(name) > 255 {
		return refuse("InvalidParameterValue", "Value for parameter KeyName is invalid. Length exceeds maximum of 255.")
	}
	if p.keyPairs[name] != nil {
		return refuse("InvalidKeyPair.Duplicate", "The keypair already exists")
	}
	return nil
}

func (s *Server) createKeyPair(c *call, in *createKeyInput) (*createKeyOutput, error) {
	p := c.place()
	if err := p.checkKeyName(in.Name); err != nil {
		return nil, err
	}
	kind := valueOr(in.Type, "rsa")
	if kind != "rsa" && kind != "ed25519" {
		return nil, refuse("InvalidParameterValue", "Value (%s) for parameter keyType is invalid.", kind)
	}
	if f := valueOr(in.Format, "pem"); f != "pem" {
		return nil, refuse("UnsupportedOperation", "The key format %s is not simulated.", f)
	}
	tags, err := in.forTypes("key-pair")
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	k, material, err := newKeyPair(kind)
	if err != nil {
		return nil, err
	}
	k.name, k.created = in.Name, c.now
	p.keyPairs[k.name] = k
	p.setTags(k.id, tags["key-pair"])
	return &createKeyOutput{k.id, k.name, k.fingerprint, material, p.tagSet(k.id)}, nil
}

// newKeyPair makes a pair and returns the private half in PEM.
func newKeyPair(kind string) (*keyPair, string, error) {
	k := &keyPair{id: newID("key"), kind: kind}
	if kind == "ed25519" {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, "", err
		}
		block, err := ssh.MarshalPrivateKey(private, "")
		if err != nil {
			return nil, "", err
		}
		return k, string(pem.EncodeToMemory(block)), k.setPublic(public)
	}
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, "", err
	}
	if err := k.setPublic(&private.PublicKey); err != nil {
		return nil, "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, "", err
	}
	sum := sha1.Sum(der) //nolint:gosec // as above
	k.fingerprint = colons(sum[:])
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)}
	return k, string(pem.EncodeToMemory(block)), nil
}

func (k *keyPair) setPublic(public any) error {
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return err
	}
	k.publicKey = string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(key)))
	k.fingerprint = strings.TrimPrefix(ssh.FingerprintSHA256(key), "SHA256:") + "="
	return nil
}

type importKeyInput struct {
	dryRun
	tagSpecs
	Name     string `query:"KeyName"`
	Material string `query:"PublicKeyMaterial"`
}

func (s *Server) importKeyPair(c *call, in *importKeyInput) (*createKeyOutput, error) {
	p := c.place()
	if err := p.checkKeyName(in.Name); err != nil {
		return nil, err
	}
	raw, err := base64.StdEncoding.DecodeString(in.Material)
	if err != nil {
		return nil, refuse("InvalidKey.Format", "Key is not in valid OpenSSH public key format")
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(raw)
	if err != nil || key.Type() != ssh.KeyAlgoRSA && key.Type() != ssh.KeyAlgoED25519 {
		return nil, refuse("InvalidKey.Format", "Key is not in valid OpenSSH public key format")
	}
	tags, err := in.forTypes("key-pair")
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	k := &keyPair{id: newID("key"), name: in.Name, kind: "ed25519", created: c.now, publicKey: string(bytes.TrimSpace(raw))}
	k.fingerprint = strings.TrimPrefix(ssh.FingerprintSHA256(key), "SHA256:") + "="
	if key.Type() == ssh.KeyAlgoRSA {
		k.kind = "rsa"
		k.fingerprint = importedFingerprint(key)
	}
	p.keyPairs[k.name] = k
	p.setTags(k.id, tags["key-pair"])
	return &createKeyOutput{ID: k.id, Name: k.name, Fingerprint: k.fingerprint, Tags: p.tagSet(k.id)}, nil
}

func importedFingerprint(key ssh.PublicKey) string {
	crypto, ok := key.(ssh.CryptoPublicKey)
	if !ok {
		return ""
	}
	der, err := x509.MarshalPKIXPublicKey(crypto.CryptoPublicKey())
	if err != nil {
		return ""
	}
	sum := md5.Sum(der) //nolint:gosec // as above
	return colons(sum[:])
}

type deleteKeyInput struct {
	dryRun
	Name string `query:"KeyName"`
	ID   string `query:"KeyPairId"`
}

type deleteKeyOutput struct {
	Return bool   `xml:"return"`
	ID     string `xml:"keyPairId,omitempty"`
}

// deleteKeyPair succeeds for a name that nothing has, as on AWS.
func (s *Server) deleteKeyPair(c *call, in *deleteKeyInput) (*deleteKeyOutput, error) {
	p := c.place()
	if in.Name == "" && in.ID == "" {
		return nil, missing("KeyName or KeyPairId")
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	for _, k := range p.keyPairs {
		if k.name == in.Name || k.id == in.ID {
			delete(p.keyPairs, k.name)
			delete(p.tags, k.id)
			return &deleteKeyOutput{true, k.id}, nil
		}
	}
	if in.ID != "" {
		return nil, refuse("InvalidKeyPair.NotFound", "The key pair '%s' does not exist", in.ID)
	}
	return &deleteKeyOutput{Return: true}, nil
}

type describeKeysInput struct {
	dryRun
	Names         []string `query:"KeyName"`
	IDs           []string `query:"KeyPairId"`
	IncludePublic *bool    `query:"IncludePublicKey"`
	Filters       []filter `query:"Filter"`
}

type keyDescription struct {
	ID          string   `xml:"keyPairId"`
	Name        string   `xml:"keyName"`
	Type        string   `xml:"keyType"`
	Fingerprint string   `xml:"keyFingerprint"`
	PublicKey   string   `xml:"publicKey,omitempty"`
	Created     string   `xml:"createTime"`
	Tags        set[tag] `xml:"tagSet"`
}

type describeKeysOutput struct {
	Keys set[keyDescription] `xml:"keySet"`
}

var keyFilters = filterTable[*keyPair]{
	"fingerprint": one(func(k *keyPair) string { return k.fingerprint }),
	"key-name":    one(func(k *keyPair) string { return k.name }),
	"key-pair-id": one(func(k *keyPair) string { return k.id }),
}

func (s *Server) describeKeyPairs(c *call, in *describeKeysInput) (*describeKeysOutput, error) {
	p := c.place()
	all := sorted(p.keyPairs)
	for _, name := range in.Names {
		if p.keyPairs[name] == nil {
			return nil, refuse("InvalidKeyPair.NotFound", "The key pair '%s' does not exist", name)
		}
	}
	for _, id := range in.IDs {
		if !slices.ContainsFunc(all, func(k *keyPair) bool { return k.id == id }) {
			return nil, refuse("InvalidKeyPair.NotFound", "The key pair '%s' does not exist", id)
		}
	}
	if len(in.Names)+len(in.IDs) > 0 {
		all = slices.DeleteFunc(all, func(k *keyPair) bool { return !slices.Contains(in.Names, k.name) && !slices.Contains(in.IDs, k.id) })
	}
	all, err := keyFilters.keep(in.Filters, func(k *keyPair) map[string]string { return p.tags[k.id] }, all)
	if err != nil {
		return nil, err
	}
	return &describeKeysOutput{setFrom(all, func(k *keyPair) keyDescription {
		d := keyDescription{k.id, k.name, k.kind, k.fingerprint, "", ec2Time(k.created), p.tagSet(k.id)}
		if isTrue(in.IncludePublic) {
			d.PublicKey = k.publicKey
		}
		return d
	})}, in.check()
}
