// Package pki makes the cluster's keys, certificates and kubeconfigs. Ensure may be called at every start: it makes what is missing,
// renews what is about to expire or no longer fits, and leaves the rest alone.
//
// All keys are ECDSA P-256: making one takes milliseconds even under emulation, where an RSA key takes seconds.
package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	// LeafLifetime is how long the API's and all other leaf certificates are valid.
	LeafLifetime = 365 * 24 * time.Hour
	// renewBefore is the remaining lifetime below which a start renews a leaf.
	renewBefore = 90 * 24 * time.Hour
	caLifetime  = 10 * 365 * 24 * time.Hour
	// backdate allows for a guest whose clock runs a little behind its host's.
	backdate = time.Hour
)

// pair is a certificate with its key, in memory and as PEM.
type pair struct {
	cert            *x509.Certificate
	key             crypto.Signer
	certPEM, keyPEM []byte
	path            string
}

// leaf describes a leaf certificate.
type leaf struct {
	name   string
	user   string
	groups []string
	hosts  []string
	server bool
	client bool
}

// store makes pairs in one directory, as seen at one moment.
type store struct {
	dir string
	now time.Time
}

// authority returns the CA of that name and makes it if needed. A CA is never renewed, since everything that trusts it would have to follow.
func (s store) authority(name string) (*pair, error) {
	if p, err := s.load(name); err == nil {
		return p, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "k3s-vm-" + name},
		NotAfter:              s.now.Add(caLifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	return s.issue(name, template, nil)
}

// leaf returns the certificate that want describes, signed by ca; an existing one is kept while it fits and lives long enough.
func (s store) leaf(ca *pair, want leaf) (*pair, error) {
	p, err := s.load(want.name)
	if err == nil && want.fits(p.cert, ca.cert, s.now) {
		return p, nil
	}
	// A damaged leaf is replaced like a missing one: a start must not fail for what it can make again.
	template := &x509.Certificate{
		Subject:  pkix.Name{CommonName: want.user, Organization: want.groups},
		NotAfter: s.now.Add(LeafLifetime),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	if want.server {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	if want.client {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	for _, host := range want.hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return s.issue(want.name, template, ca)
}

// fits reports whether cert is as required.
func (l leaf) fits(cert, ca *x509.Certificate, now time.Time) bool {
	if cert.NotAfter.Sub(now) < renewBefore || cert.NotBefore.After(now) {
		return false
	}
	if cert.Subject.CommonName != l.user || !slices.Equal(cert.Subject.Organization, l.groups) {
		return false
	}
	for _, host := range l.hosts {
		if cert.VerifyHostname(host) != nil {
			return false
		}
	}
	return cert.CheckSignatureFrom(ca) == nil
}

// issue makes a key and a certificate for it and writes both. Without a ca the certificate is self-signed.
func (s store) issue(name string, template *x509.Certificate, ca *pair) (*pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, err
	}
	template.NotBefore = s.now.Add(-backdate)
	parent, signer := template, crypto.Signer(key)
	if ca != nil {
		parent, signer = ca.cert, ca.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", name, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	p := &pair{cert: cert, key: key, keyPEM: keyPEM, path: s.path(name),
		certPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
	// The key first: a certificate without its key would look complete to the next start.
	if err := writeFile(p.path+".key", p.keyPEM, 0o600); err != nil {
		return nil, err
	}
	return p, writeFile(p.path+".crt", p.certPEM, 0o644)
}

func (s store) path(name string) string { return filepath.Join(s.dir, name) }

// load reads a pair and checks that key and certificate belong together.
func (s store) load(name string) (*pair, error) {
	certPEM, err := os.ReadFile(s.path(name) + ".crt")
	if err != nil {
		return nil, err
	}
	keyPEM, err := os.ReadFile(s.path(name) + ".key")
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(certPEM)
	if block == nil {
		return nil, fmt.Errorf("%s.crt: no PEM block", s.path(name))
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s.crt: %w", s.path(name), err)
	}
	key, err := decodeKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s.key: %w", s.path(name), err)
	}
	if public, ok := cert.PublicKey.(*ecdsa.PublicKey); !ok || !public.Equal(key.Public()) {
		return nil, fmt.Errorf("%s: key and certificate do not belong together", s.path(name))
	}
	return &pair{cert: cert, key: key, certPEM: certPEM, keyPEM: keyPEM, path: s.path(name)}, nil
}

// signingKey makes the key that signs service account tokens, and its public half.
func (s store) signingKey(name string) error {
	if data, err := os.ReadFile(s.path(name) + ".key"); err == nil {
		if _, err := decodeKey(data); err != nil {
			return fmt.Errorf("%s.key: %w", s.path(name), err)
		}
		if _, err := os.Stat(s.path(name) + ".pub"); err == nil {
			return nil
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	if err := writeFile(s.path(name)+".key", keyPEM, 0o600); err != nil {
		return err
	}
	return writeFile(s.path(name)+".pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o644)
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

func decodeKey(data []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("no PEM block")
	}
	return x509.ParseECPrivateKey(block.Bytes)
}

// writeFile replaces a file in one step, so that a power cut leaves the old or the new one. Unchanged files are not touched.
func writeFile(path string, data []byte, mode os.FileMode) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(data)
	err = errors.Join(err, temporary.Chmod(mode), temporary.Sync(), temporary.Close())
	if err != nil {
		return err
	}
	return os.Rename(temporary.Name(), path)
}
