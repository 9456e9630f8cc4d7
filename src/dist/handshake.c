/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mutual proof of the secret, before any byte of payload.
 *
 *     dialer                              acceptor
 *     introduction  ------------------->
 *                   <-------------------  introduction
 *     HMAC(secret, "dialer" ...) ------>                    the dialer proves itself first,
 *                   <------  HMAC(secret, "acceptor" ...)   so a stranger learns nothing but a nonce
 *
 * The MAC covers the role, both introductions (version, encryption, number of ranks, both ranks, both nonces) and the
 * binding to the TLS session. So a recorded proof is worthless (fresh nonces), one end's proof cannot be sent back to
 * it or used in another direction (role, ranks), and nobody can sit between two TLS sessions (binding).
 *
 * Introduction, 64 bytes, little-endian: magic (8), version, flags (1 = TLS), ranks, from, to, zero (4 each), nonce (32).
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "dist/internal.h"

enum { PROTOCOL_VERSION = 1, FLAG_TLS = 1, LABEL_SIZE = 16 };

enum { STAGE_INTRO = 0, STAGE_PROOF = 1, STAGE_DONE = 2 };

static const uint8_t magic[8] = {'b', 'd', 'l', '-', 'd', 'i', 's', 't'};

static void put_u32(uint8_t *bytes, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint32_t get_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static uint32_t own_flags(const bdl__handshake *h)
{
    return h->is_tls ? FLAG_TLS : 0;
}

static uint8_t *own_intro(bdl__handshake *h)
{
    return h->intros[h->is_dialer ? 0 : 1];
}

static void write_intro(bdl__handshake *h)
{
    uint8_t *const intro = own_intro(h);
    memcpy(intro, magic, sizeof magic);
    put_u32(intro + 8, PROTOCOL_VERSION);
    put_u32(intro + 12, own_flags(h));
    put_u32(intro + 16, (uint32_t)h->n_ranks);
    put_u32(intro + 20, (uint32_t)h->rank);
    put_u32(intro + 24, (uint32_t)h->peer);
    memcpy(h->out, intro, BDL__INTRO_SIZE);
    h->out_size = BDL__INTRO_SIZE;
}

static void compute_proof(const bdl__handshake *h, bool of_dialer, uint8_t proof[BDL__PROOF_SIZE])
{
    uint8_t message[LABEL_SIZE + sizeof h->intros + BDL__BINDING_SIZE] = {0};
    memcpy(message, of_dialer ? "bdl dialer" : "bdl acceptor", of_dialer ? 10 : 12);
    memcpy(message + LABEL_SIZE, h->intros, sizeof h->intros);
    memcpy(message + LABEL_SIZE + sizeof h->intros, h->binding, BDL__BINDING_SIZE);
    bdl__hmac_sha256(h->secret, BDL__SECRET_SIZE, message, sizeof message, proof);
}

static void write_proof(bdl__handshake *h)
{
    compute_proof(h, h->is_dialer, h->out);
    h->out_size = BDL__PROOF_SIZE;
}

void bdl__handshake_start(bdl__handshake *h, const uint8_t nonce[BDL__NONCE_SIZE])
{
    memset(h->intros, 0, sizeof h->intros);
    memcpy(own_intro(h) + 32, nonce, BDL__NONCE_SIZE);
    h->stage = STAGE_INTRO;
    h->expected = BDL__INTRO_SIZE;
    h->out_size = 0;
    h->is_done = false;
    if (h->is_dialer) {
        write_intro(h);
    }
}

static bool refuse(bdl__handshake *h, const char *format, ...) BDL__PRINTF(2, 3);
static bool refuse(bdl__handshake *h, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(h->reason, sizeof h->reason, format, args);
    va_end(args);
    return false;
}

static bool check_intro(bdl__handshake *h, const uint8_t *intro)
{
    const uint32_t from = get_u32(intro + 20);
    const uint32_t to = get_u32(intro + 24);
    if (memcmp(intro, magic, sizeof magic) != 0) {
        return refuse(h, "it does not speak bdl's protocol");
    }
    if (get_u32(intro + 8) != PROTOCOL_VERSION) {
        return refuse(h, "it speaks version %u of the protocol, this rank version %d",
                      (unsigned)get_u32(intro + 8), PROTOCOL_VERSION);
    }
    if (get_u32(intro + 12) != own_flags(h) || get_u32(intro + 28) != 0) {
        return refuse(h, "its flags are %u, expected %u", (unsigned)get_u32(intro + 12),
                      (unsigned)own_flags(h));
    }
    if (get_u32(intro + 16) != (uint32_t)h->n_ranks) {
        return refuse(h, "it is of a run of %u ranks, this run has %d",
                      (unsigned)get_u32(intro + 16), h->n_ranks);
    }
    if (to != (uint32_t)h->rank) {
        return refuse(h, "it looks for rank %u, this is rank %d", (unsigned)to, h->rank);
    }
    /* A rank dials those below it. */
    if (h->is_dialer ? from != (uint32_t)h->peer
                     : from <= (uint32_t)h->rank || from >= (uint32_t)h->n_ranks) {
        return refuse(h, "it says to be rank %u, which cannot be", (unsigned)from);
    }
    return true;
}

static bool take_intro(bdl__handshake *h, const uint8_t *intro)
{
    if (!check_intro(h, intro)) {
        return false;
    }
    memcpy(h->intros[h->is_dialer ? 1 : 0], intro, BDL__INTRO_SIZE);
    if (h->is_dialer) {
        write_proof(h);
    } else {
        h->peer = (int)get_u32(intro + 20);
        write_intro(h);
    }
    h->stage = STAGE_PROOF;
    h->expected = BDL__PROOF_SIZE;
    return true;
}

static bool take_proof(bdl__handshake *h, const uint8_t *proof)
{
    uint8_t wanted[BDL__PROOF_SIZE];
    compute_proof(h, !h->is_dialer, wanted);
    const bool is_right = bdl__equal_in_constant_time(proof, wanted, sizeof wanted);
    explicit_bzero(wanted, sizeof wanted);
    if (!is_right) {
        return refuse(h, "it does not know the secret of this run");
    }
    if (!h->is_dialer) {
        write_proof(h);
    }
    h->stage = STAGE_DONE;
    h->expected = 0;
    h->is_done = true;
    return true;
}

bool bdl__handshake_feed(bdl__handshake *h, const uint8_t *message)
{
    return h->stage == STAGE_INTRO   ? take_intro(h, message)
           : h->stage == STAGE_PROOF ? take_proof(h, message)
                                     : refuse(h, "it goes on after the handshake");
}
