package upstream

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"syscall"
)

// An AddressError says that a route leads to an address that it must not: a private one, or one that is nobody's host in
// the internet. Nothing was sent, so this is no attempt, and it is the configuration's fault.
type AddressError struct {
	// Detail names the host and the address, for whoever runs this.
	Detail string
}

// Error says what is wrong, and names no host.
func (e *AddressError) Error() string {
	return "the upstream's address is not a public one, which its route does not allow"
}

// checkName returns an *AddressError if one of the addresses of a host is not public. One that mixes them is refused as a
// whole: which one is dialed is the resolver's choice.
func (d *dialer) checkName(ctx context.Context, hostPort string) error {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		return err
	}
	found, err := d.lookup(ctx, "ip", host)
	if err != nil {
		return err
	}
	for _, a := range found {
		if !public(a) {
			return &AddressError{Detail: clipDetail(host + " is at " + a.String())}
		}
	}
	return nil
}

// checkSocket is a [net.Dialer]'s Control. It sees each address right before it is dialed: a name may lead elsewhere when it
// is looked up again.
func checkSocket(_, address string, _ syscall.RawConn) error {
	if a, err := netip.ParseAddrPort(address); err == nil && public(a.Addr()) {
		return nil
	}
	return &AddressError{Detail: clipDetail("a dial to " + address)}
}

// public reports whether a is the address of a host that anybody could reach. IPv4 within IPv6 is judged by what is within,
// where the internet has such addresses, and refused elsewhere.
func public(a netip.Addr) bool {
	a = a.WithZone("").Unmap()
	if a.Is4() {
		return !in(a, special4())
	}
	if in(a, []string{"64:ff9b::/96"}) { // NAT64, as DNS64 gives for hosts that have IPv4 alone
		b := a.As16()
		return !in(netip.AddrFrom4([4]byte(b[12:])), special4())
	}
	return in(a, []string{"2000::/3"}) && !in(a, special6())
}

func in(a netip.Addr, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return netip.MustParsePrefix(p).Contains(a) })
}

// special4 returns what of IPv4 is no host in the internet
// (https://www.iana.org/assignments/iana-ipv4-special-registry), and a cloud's own addresses.
func special4() []string {
	return []string{
		"0.0.0.0/8",        // this network, and unspecified
		"10.0.0.0/8",       // private
		"100.64.0.0/10",    // carrier-grade NAT; Alibaba's metadata
		"127.0.0.0/8",      // loopback
		"169.254.0.0/16",   // link-local; metadata of AWS, Google and Azure
		"172.16.0.0/12",    // private
		"192.0.0.0/24",     // protocol assignments; Oracle's metadata
		"192.0.2.0/24",     // documentation
		"192.88.99.0/24",   // 6to4 relays
		"192.168.0.0/16",   // private
		"198.18.0.0/15",    // benchmarks
		"198.51.100.0/24",  // documentation
		"203.0.113.0/24",   // documentation
		"224.0.0.0/4",      // multicast
		"240.0.0.0/4",      // reserved, and broadcast
		"168.63.129.16/32", // Azure's platform
	}
}

// special6 returns what of IPv6's global unicast, 2000::/3, is no host in the internet
// (https://www.iana.org/assignments/iana-ipv6-special-registry).
func special6() []string {
	return []string{
		"2001::/23",     // protocol assignments, Teredo among them
		"2001:db8::/32", // documentation
		"2002::/16",     // 6to4, with any IPv4 within
		"3fff::/20",     // documentation
	}
}
