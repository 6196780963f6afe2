package localaws

import "slices"

// hardware is what an image asks of the machine that boots it. The zero value
// is that of Amazon's own images: HVM, with enhanced networking of both kinds.
type hardware struct {
	paravirtual bool
	noENA       bool
	noSRIOV     bool
}

func (h hardware) virtualization() string {
	if h.paravirtual {
		return "paravirtual"
	}
	return "hvm"
}

func (h hardware) ena() bool { return !h.noENA }

// sriov is "simple" or nothing.
func (h hardware) sriov() string {
	if h.noSRIOV {
		return ""
	}
	return "simple"
}

// boots refuses an image on a type of instance that can't boot it.
func (t *instanceType) boots(img *image) error {
	modes := t.list("boot")
	switch {
	case !slices.Contains(t.list("virtualization"), img.virtualization()):
		return refuse("InvalidParameterCombination", "Virtualization type '%s' is not supported for instances of type %s.", img.virtualization(), t.name)
	case img.noENA && t.text("ena") == "required":
		return refuse("InvalidParameterCombination", "Enhanced networking with the Elastic Network Adapter (ENA) is required for the '%s' instance type. "+
			"Ensure that you are using an AMI that is enabled for ENA.", t.name)
	case img.bootMode == "uefi" && !slices.Contains(modes, "uefi"), img.bootMode == "legacy-bios" && !slices.Contains(modes, "legacy-bios"):
		return refuse("Unsupported", "The requested configuration is currently not supported. Please check the documentation for supported configurations.")
	}
	return nil
}
