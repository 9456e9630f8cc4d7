/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS 1.3 by OpenSSL, keyed by the secret of the run (an external pre-shared key with an ephemeral exchange, RFC 8446
 * section 2.2): no certificates, both ends proven, and recorded traffic stays closed even if the secret leaks later.
 */
#include "dist/internal.h"

#include <errno.h>

#ifdef BDL_WITH_TLS

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

#include "base/hash.h"

#define CIPHER "TLS_AES_128_GCM_SHA256"
#define IDENTITY "bdl"
#define BINDING_LABEL "EXPORTER-bdl-handshake"

enum { KEY_SIZE = 32, STAGE_SIZE = 16 * 1024 /* a full record */ };

static const unsigned char cipher_id[2] = {0x13, 0x01}; /* CIPHER */

struct bdl__tls {
    SSL_CTX *context;
    uint8_t key[KEY_SIZE];
};

struct bdl__tls_session {
    SSL *ssl;
    uint8_t stage[STAGE_SIZE]; /* joins a frame's head and payload into one record */
};

/* OpenSSL's session that stands for the key. The caller frees it. */
static SSL_SESSION *make_session(SSL *ssl)
{
    const bdl__tls *const tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    const SSL_CIPHER *const cipher = SSL_CIPHER_find(ssl, cipher_id);
    SSL_SESSION *const session = SSL_SESSION_new();
    if (session && cipher && SSL_SESSION_set1_master_key(session, tls->key, KEY_SIZE) &&
        SSL_SESSION_set_cipher(session, cipher) &&
        SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION)) {
        return session;
    }
    SSL_SESSION_free(session);
    return NULL;
}

static int use_key(SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *id_size,
                   SSL_SESSION **session)
{
    (void)md;
    *session = make_session(ssl);
    *id = (const unsigned char *)IDENTITY;
    *id_size = sizeof IDENTITY - 1;
    return *session != NULL;
}

static int find_key(SSL *ssl, const unsigned char *id, size_t id_size, SSL_SESSION **session)
{
    const bool is_ours = id_size == sizeof IDENTITY - 1 && memcmp(id, IDENTITY, id_size) == 0;
    *session = is_ours ? make_session(ssl) : NULL;
    return 1; /* without a session the handshake fails: there is no certificate */
}

static bool set_up(bdl__tls *tls)
{
    SSL_CTX *const c = SSL_CTX_new(TLS_method());
    tls->context = c;
    if (!c || !SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION) ||
        !SSL_CTX_set_max_proto_version(c, TLS1_3_VERSION) || !SSL_CTX_set_ciphersuites(c, CIPHER) ||
        !SSL_CTX_set_num_tickets(c, 0) || !SSL_CTX_set_app_data(c, tls)) {
        return false;
    }
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_psk_use_session_callback(c, use_key);
    SSL_CTX_set_psk_find_session_callback(c, find_key);
    return true;
}

bdl_status bdl__tls_create(const uint8_t secret[BDL__SECRET_SIZE], bdl__tls **tls)
{
    static const char purpose[] = "bdl TLS 1.3 pre-shared key";
    bdl__tls *const made = OPENSSL_zalloc(sizeof *made);
    BDL__CHECK(made, BDL_ERR_OUT_OF_MEMORY, "out of memory for TLS");
    bdl__hmac_sha256(secret, BDL__SECRET_SIZE, purpose, sizeof purpose - 1, made->key);
    if (!set_up(made)) {
        bdl__tls_free(made);
        BDL__FAIL(BDL_ERR_INTERNAL, "OpenSSL cannot set up TLS 1.3: %s",
                  ERR_error_string(ERR_get_error(), NULL));
    }
    *tls = made;
    return BDL_OK;
}

void bdl__tls_free(bdl__tls *tls)
{
    if (tls) {
        SSL_CTX_free(tls->context);
        OPENSSL_clear_free(tls, sizeof *tls);
    }
}

bdl_status bdl__tls_start(bdl__tls *tls, int fd, bool is_client, bdl__tls_session **session)
{
    bdl__tls_session *const made = OPENSSL_zalloc(sizeof *made);
    BDL__CHECK(made, BDL_ERR_OUT_OF_MEMORY, "out of memory for TLS");
    made->ssl = SSL_new(tls->context);
    if (!made->ssl || !SSL_set_fd(made->ssl, fd)) {
        bdl__tls_stop(made);
        BDL__FAIL(BDL_ERR_OUT_OF_MEMORY, "out of memory for TLS");
    }
    if (is_client) {
        SSL_set_connect_state(made->ssl);
    } else {
        SSL_set_accept_state(made->ssl);
    }
    *session = made;
    return BDL_OK;
}

void bdl__tls_stop(bdl__tls_session *session)
{
    SSL_free(session->ssl);
    OPENSSL_clear_free(session, sizeof *session);
}

int bdl__tls_handshake(bdl__tls_session *session, short *events)
{
    ERR_clear_error();
    const int done = SSL_do_handshake(session->ssl);
    if (done == 1) {
        *events = POLLIN;
        return 1;
    }
    switch (SSL_get_error(session->ssl, done)) {
    case SSL_ERROR_WANT_READ:
        *events = POLLIN;
        return 0;
    case SSL_ERROR_WANT_WRITE:
        *events = POLLOUT;
        return 0;
    default:
        return -1;
    }
}

bool bdl__tls_binding(bdl__tls_session *session, uint8_t binding[BDL__BINDING_SIZE])
{
    return SSL_export_keying_material(session->ssl, binding, BDL__BINDING_SIZE, BINDING_LABEL,
                                      sizeof BINDING_LABEL - 1, NULL, 0, 0) == 1;
}

/* What read and write of a socket would have given. */
static ssize_t result_of(const bdl__tls_session *session, int result, size_t n)
{
    if (result > 0) {
        return (ssize_t)n;
    }
    switch (SSL_get_error(session->ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        errno = errno ? errno : ECONNRESET;
        return -1;
    default:
        errno = EPROTO;
        return -1; /* changed on the way, or cut */
    }
}

ssize_t bdl__tls_read(bdl__tls_session *session, void *data, size_t size)
{
    size_t n = 0;
    ERR_clear_error();
    errno = 0;
    const int result = SSL_read_ex(session->ssl, data, size, &n);
    return result_of(session, result, n);
}

ssize_t bdl__tls_write(bdl__tls_session *session, const struct iovec *parts, int n_parts)
{
    const uint8_t *data = parts[0].iov_base;
    size_t size = parts[0].iov_len;
    size_t n = 0;
    if (n_parts > 1 && size < STAGE_SIZE) {
        const size_t more = BDL__MIN(parts[1].iov_len, STAGE_SIZE - size);
        memcpy(session->stage, data, size);
        memcpy(session->stage + size, parts[1].iov_base, more);
        data = session->stage;
        size += more;
    }
    ERR_clear_error();
    errno = 0;
    const int result = SSL_write_ex(session->ssl, data, size, &n);
    return result_of(session, result, n);
}

void bdl__tls_finish(bdl__tls_session *session)
{
    ERR_clear_error();
    (void)SSL_shutdown(session->ssl);
}

#else

/* Without OpenSSL no session is ever made. */
bdl_status bdl__tls_create(const uint8_t secret[BDL__SECRET_SIZE], bdl__tls **tls)
{
    (void)secret;
    (void)tls;
    BDL__FAIL(BDL_ERR_UNSUPPORTED, "this build of bdl has no TLS (it was built with BDL_TLS=OFF)");
}

void bdl__tls_free(bdl__tls *tls)
{
    (void)tls;
}

bdl_status bdl__tls_start(bdl__tls *tls, int fd, bool is_client, bdl__tls_session **session)
{
    (void)fd;
    (void)is_client;
    (void)session;
    return bdl__tls_create(NULL, &tls);
}

int bdl__tls_handshake(bdl__tls_session *session, short *events)
{
    (void)session;
    (void)events;
    return -1;
}

bool bdl__tls_binding(bdl__tls_session *session, uint8_t binding[BDL__BINDING_SIZE])
{
    (void)session;
    (void)binding;
    return false;
}

ssize_t bdl__tls_read(bdl__tls_session *session, void *data, size_t size)
{
    (void)session;
    (void)data;
    (void)size;
    errno = EPROTO;
    return -1;
}

ssize_t bdl__tls_write(bdl__tls_session *session, const struct iovec *parts, int n_parts)
{
    (void)session;
    (void)parts;
    (void)n_parts;
    errno = EPROTO;
    return -1;
}

void bdl__tls_finish(bdl__tls_session *session)
{
    (void)session;
}

void bdl__tls_stop(bdl__tls_session *session)
{
    (void)session;
}

#endif
