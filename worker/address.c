#include "address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct network {
    uint32_t prefix;
    unsigned bits;
    enum address_kind kind;
};

/* The first that matches counts. */
static const struct network special[] = {
    {0x00000000, 8, ADDRESS_UNUSABLE},  /* 0.0.0.0/8 "this network"; connecting to it reaches this host */
    {0x0a000000, 8, ADDRESS_PRIVATE},   /* 10.0.0.0/8 */
    {0x64400000, 10, ADDRESS_PRIVATE},  /* 100.64.0.0/10 shared */
    {0x7f000000, 8, ADDRESS_PRIVATE},   /* 127.0.0.0/8 loopback */
    {0xa9fe0000, 16, ADDRESS_PRIVATE},  /* 169.254.0.0/16 link-local */
    {0xac100000, 12, ADDRESS_PRIVATE},  /* 172.16.0.0/12 */
    {0xc0000000, 24, ADDRESS_UNUSABLE}, /* 192.0.0.0/24 protocol assignments */
    {0xc0000200, 24, ADDRESS_UNUSABLE}, /* 192.0.2.0/24 documentation */
    {0xc0586300, 24, ADDRESS_UNUSABLE}, /* 192.88.99.0/24 6to4 relays, withdrawn */
    {0xc0a80000, 16, ADDRESS_PRIVATE},  /* 192.168.0.0/16 */
    {0xc6120000, 15, ADDRESS_PRIVATE},  /* 198.18.0.0/15 benchmarks */
    {0xc6336400, 24, ADDRESS_UNUSABLE}, /* 198.51.100.0/24 documentation */
    {0xcb007100, 24, ADDRESS_UNUSABLE}, /* 203.0.113.0/24 documentation */
    {0xe0000000, 3, ADDRESS_UNUSABLE},  /* 224.0.0.0/3 multicast, reserved, broadcast */
};

static enum address_kind kind_of_v4(uint32_t address) {
    for (size_t i = 0; i < sizeof special / sizeof *special; i++)
        if (((address ^ special[i].prefix) >> (32 - special[i].bits)) == 0) return special[i].kind;
    return ADDRESS_PUBLIC;
}

static uint32_t embedded_v4(const unsigned char *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static enum address_kind kind_of_v6(const unsigned char p[16]) {
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff}, translated[12] = {0, 0x64, 0xff, 0x9b},
                               loopback[16] = {[15] = 1};
    if (memcmp(p, mapped, 12) == 0 || memcmp(p, translated, 12) == 0) return kind_of_v4(embedded_v4(p + 12));
    if (memcmp(p, loopback, 16) == 0) return ADDRESS_PRIVATE;
    if ((p[0] & 0xfe) == 0xfc) return ADDRESS_PRIVATE;                       /* fc00::/7 unique local */
    if (p[0] == 0xfe && (p[1] & 0x80) != 0) return ADDRESS_PRIVATE;          /* fe80::/10 link-local, fec0::/10 site-local */
    if ((p[0] & 0xe0) != 0x20) return ADDRESS_UNUSABLE;                      /* only 2000::/3 is global unicast */
    if (p[0] == 0x20 && p[1] == 0x02) return kind_of_v4(embedded_v4(p + 2)); /* 2002::/16 6to4 */
    if (p[0] == 0x20 && p[1] == 0x01 && (p[2] & 0xfe) == 0) return ADDRESS_UNUSABLE; /* 2001::/23 protocols, Teredo among them */
    if (p[0] == 0x20 && p[1] == 0x01 && p[2] == 0x0d && p[3] == 0xb8) return ADDRESS_UNUSABLE; /* documentation */
    if (p[0] == 0x3f && p[1] == 0xff && p[2] < 0x10) return ADDRESS_UNUSABLE;                  /* 3fff::/20 documentation */
    return ADDRESS_PUBLIC;
}

enum address_kind address_kind(const struct sockaddr *address, socklen_t size) {
    if (address->sa_family == AF_INET && size >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof v4);
        return kind_of_v4(ntohl(v4.sin_addr.s_addr));
    }
    if (address->sa_family == AF_INET6 && size >= sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof v6);
        return kind_of_v6(v6.sin6_addr.s6_addr);
    }
    return ADDRESS_UNUSABLE;
}

enum address_kind address_kind_of_text(const char *text) {
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, text, &v4) == 1) return kind_of_v4(ntohl(v4.s_addr));
    if (inet_pton(AF_INET6, text, &v6) == 1) return kind_of_v6(v6.s6_addr);
    return ADDRESS_UNUSABLE;
}
