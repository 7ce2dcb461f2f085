/* What kind of network address a registry's name has led to: a name that a stranger controls must not lead a worker to its
 * own host or network (DNS rebinding). By the IANA special-purpose address registries (RFC 6890 and its updates). */
#ifndef SLUICE_ADDRESS_H
#define SLUICE_ADDRESS_H

#include <sys/socket.h>

enum address_kind {
    ADDRESS_PUBLIC,  /* globally reachable unicast */
    ADDRESS_PRIVATE, /* loopback, link-local, private, shared: only where the policy says `allow-private` */
    ADDRESS_UNUSABLE /* unspecified, multicast, broadcast, reserved, another family: never */
};

/* IPv4 inside IPv6 (mapped, translated, 6to4) counts as the IPv4 address. */
enum address_kind address_kind(const struct sockaddr *address, socklen_t size);
/* The same for an address as text, without a zone; ADDRESS_UNUSABLE when it is none. */
enum address_kind address_kind_of_text(const char *text);

#endif
