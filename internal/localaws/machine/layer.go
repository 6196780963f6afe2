//go:build linux

package machine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
)

// A layer is a read-only folder with the parts root and usr of a disk.
type layer struct {
	path    string    // relative to the host's folder
	release Release   // of the base at the bottom
	below   []LayerID // what it was captured on top of
	removed bool      // by RemoveLayer, but something still needs it
}

// A base is the base layer of one release and architecture, made when it is first asked for.
type base struct {
	mu sync.Mutex // held while it is made
	id LayerID    // "" until then
}

// newLayer registers nothing; it returns an id and the path for it, relative to the host's folder.
func newLayer(prefix string) (LayerID, string) {
	id := make([]byte, 6)
	_, _ = rand.Read(id) // never fails
	name := prefix + "-" + hex.EncodeToString(id)
	return LayerID(name), filepath.Join("layers", name)
}

// Base returns the layer that every machine of the release has at the bottom. arch ("x86_64", "arm64") decides what
// the machine says of itself in files; its programs are the host's and run on the host's processor.
func (h *Host) Base(ctx context.Context, release Release, arch string) (LayerID, error) {
	if release.Full() != AL2 && release.Full() != AL2023 {
		return "", fmt.Errorf("no base for release %q", release)
	}
	h.mu.Lock()
	key := string(release) + "-" + arch
	b := h.bases[key]
	if b == nil {
		b = &base{}
		h.bases[key] = b
	}
	h.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.id != "" {
		return b.id, nil
	}
	id, path := newLayer("base")
	if err := h.work(ctx, workRequest{Base: &baseRequest{Path: path, Release: release.Full(), Minimal: release != release.Full(), Arch: arch}}); err != nil {
		return "", err
	}
	b.id = id
	h.mu.Lock()
	defer h.mu.Unlock()
	h.layers[id] = &layer{path: path, release: release.Full()}
	return id, nil
}

// lowers are the paths of layers, the highest first. h.mu is held.
func (h *Host) lowers(layers []LayerID) ([]string, error) {
	var paths []string
	for _, id := range layers {
		l := h.layers[id]
		if l == nil {
			return nil, fmt.Errorf("layer %s does not exist", id)
		}
		paths = append(paths, l.path)
	}
	slices.Reverse(paths)
	if !h.mapUsr {
		paths = append(paths, usrSkeleton)
	}
	return paths, nil
}

// RemoveLayer removes a captured layer. Where machines, or layers captured above it, still need it, it goes with the last
// of these. A layer that does not exist is not an error; a base can't be removed.
func (h *Host) RemoveLayer(ctx context.Context, id LayerID) error {
	h.mu.Lock()
	l := h.layers[id]
	if l != nil && l.below == nil {
		h.mu.Unlock()
		return fmt.Errorf("layer %s is a base", id)
	}
	if l != nil {
		l.removed = true
	}
	h.mu.Unlock()
	return h.collect(ctx)
}

// collect deletes the removed layers that nothing needs any more.
func (h *Host) collect(ctx context.Context) error {
	h.mu.Lock()
	var paths []string
	for again := true; again; {
		again = false
		for id, l := range h.layers {
			if l.removed && !h.needed(id) {
				delete(h.layers, id)
				paths = append(paths, l.path)
				again = true
			}
		}
	}
	h.mu.Unlock()
	if len(paths) == 0 {
		return nil
	}
	return h.work(ctx, workRequest{Remove: paths})
}

func (h *Host) needed(id LayerID) bool {
	for _, m := range h.machines {
		if slices.Contains(m.spec.Layers, id) {
			return true
		}
	}
	for _, l := range h.layers {
		if slices.Contains(l.below, id) {
			return true
		}
	}
	return false
}
