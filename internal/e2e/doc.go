// Package e2e has the tests that run this plugin's binary in real Packer, on a simulated AWS, as its users do: every
// template in example/, templates that are wrong, and builds that AWS refuses or somebody interrupts. They say what
// is seen from outside: the output, the exit status, and the world that is left.
package e2e
