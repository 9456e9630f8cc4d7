/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of src/dist share.
 *
 * One background thread per group (loop.c) owns every socket and everything in bdl__peer. Callers reach it through
 * `posted` (new requests), `closing` and the failure, all under `mutex`, and wake it by an eventfd; it reaches
 * them through the state word of each request, a futex.
 */
#ifndef BDL_DIST_INTERNAL_H
#define BDL_DIST_INTERNAL_H

#include <poll.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/thread.h"
#include "dist/dist.h"

enum {
    BDL__ADDRESS_SIZE = 96,       /* text of an address and port */
    BDL__MOST_CAUSE = 1024,       /* bytes of a cause, the NUL included */
    BDL__EAGER_SIZE = 64 * 1024,  /* larger messages wait for their receive */
    BDL__CHUNK_SIZE = 256 * 1024, /* of large messages, so that others come between */
    BDL__EAGER_WINDOW =
        1024 * 1024,      /* bytes of messages without a receive that a peer may have sent */
    BDL__ENTRY_COST = 64, /* what a message without a receive counts besides its data */
    BDL__IN_SIZE = 64 * 1024 + 4096, /* read buffer of a connection */
    BDL__MOST_READIES = 64 * 1024,   /* receives of one peer waiting for their sends */
    BDL__NONCE_SIZE = 32,
    BDL__BINDING_SIZE = 32, /* what ties the proof to a TLS session */
    BDL__PROOF_SIZE = 32,
};

typedef enum request_state {
    REQUEST_NONE = 0,
    REQUEST_PENDING = 1,
    REQUEST_WATCHED = 2, /* pending, and somebody sleeps on the word */
    REQUEST_DONE = 3,
    REQUEST_FAILED = 4
} request_state;

/* ---- wire.c, tls.c: one connection, plain or TLS --------------------------------------------------- */

typedef struct bdl__tls bdl__tls;                 /* of a group */
typedef struct bdl__tls_session bdl__tls_session; /* of a connection */

typedef struct bdl__wire {
    int fd;                    /* -1 = closed */
    bdl__tls_session *session; /* NULL = plain */
} bdl__wire;

/* As readv and writev: bytes moved, 0 = the other end has closed (read), -1 with errno, EAGAIN = later. Neither
 * raises SIGPIPE in the group's thread. */
ssize_t bdl__wire_read(bdl__wire *wire, const struct iovec *parts, int n_parts);
ssize_t bdl__wire_write(bdl__wire *wire, const struct iovec *parts, int n_parts);
void bdl__wire_close(bdl__wire *wire);
/* No more data will be written. */
void bdl__wire_finish(bdl__wire *wire);
bool bdl__wire_tune(int fd); /* non-blocking, no delay, keep-alive */

bdl_status bdl__tls_create(const uint8_t secret[BDL__SECRET_SIZE], bdl__tls **tls);
void bdl__tls_free(bdl__tls *tls);
bdl_status bdl__tls_start(bdl__tls *tls, int fd, bool is_client, bdl__tls_session **session);
/* Goes on with TLS's own handshake: 1 = done, 0 = later (`events` says for what), -1 = refused. */
int bdl__tls_handshake(bdl__tls_session *session, short *events);
bool bdl__tls_binding(bdl__tls_session *session, uint8_t binding[BDL__BINDING_SIZE]);
ssize_t bdl__tls_read(bdl__tls_session *session, void *data, size_t size);
ssize_t bdl__tls_write(bdl__tls_session *session, const struct iovec *parts, int n_parts);
void bdl__tls_finish(bdl__tls_session *session);
void bdl__tls_stop(bdl__tls_session *session);

/* ---- address.c ------------------------------------------------------------------------------------- */

/* Opens a listening socket on one address and a port of the range. */
bdl_status bdl__address_listen(const char *bind_to, int first_port, int last_port, int *fd,
                               char address[BDL__ADDRESS_SIZE]);
/* Starts to connect to "host:port" (numbers only); the socket is non-blocking. */
bdl_status bdl__address_dial(const char *address, int *fd);
bdl_status bdl__address_check(const char *address);
/* Accepts a connection: its socket, or -1 with errno. */
int bdl__address_accept(int listener, char address[BDL__ADDRESS_SIZE]);
int bdl__socket_error(int fd); /* errno of a connect that has ended */

/* ---- frame.c: the 32 bytes before each payload --------------------------------------------------------- */

enum { BDL__FRAME_SIZE = 32 };

typedef enum bdl__frame_type {
    BDL__FRAME_HELLO = 1, /* payload: options.hello */
    BDL__FRAME_PING,      /* says that this rank lives */
    BDL__FRAME_EAGER,     /* tag, payload: a small message */
    BDL__FRAME_ANNOUNCE,  /* tag, size: a large message is there */
    BDL__FRAME_READY,     /* tag, size, id: the receive of a large message is there */
    BDL__FRAME_DATA,      /* id, size (the offset), payload: a piece of it */
    BDL__FRAME_CREDIT,    /* size: so many bytes of small messages found their receive */
    BDL__FRAME_ABORT,     /* tag (the failed rank), id (code), payload: the cause */
    BDL__FRAME_GOODBYE    /* this rank leaves */
} bdl__frame_type;

typedef struct bdl__frame {
    bdl__frame_type type;
    uint32_t payload; /* bytes that follow */
    uint32_t id;
    uint64_t tag;
    uint64_t size;
} bdl__frame;

void bdl__frame_write(const bdl__frame *frame, uint8_t bytes[BDL__FRAME_SIZE]);
/* NULL, or why the bytes are no frame. */
const char *bdl__frame_read(const uint8_t bytes[BDL__FRAME_SIZE], bdl__frame *frame);

/* ---- handshake.c: who is there? ----------------------------------------------------------------------- */

enum { BDL__INTRO_SIZE = 64, BDL__MOST_HANDSHAKE = BDL__INTRO_SIZE };

/*
 * Dialer and acceptor exchange introductions (magic, version, ranks, a nonce each), then the dialer proves that it
 * has the secret, then the acceptor: HMAC-SHA256(secret, role + both introductions + TLS binding). Pure
 * computation: bytes come and go through `feed` and `out`.
 */
typedef struct bdl__handshake {
    const uint8_t *secret; /* borrowed */
    int rank;
    int n_ranks;
    int peer; /* the acceptor learns it from the introduction; proven once is_done */
    bool is_dialer;
    bool is_tls;
    bool is_done;
    int stage;
    size_t expected; /* bytes of the message that `feed` takes next */
    size_t out_size; /* bytes to send now; the caller sets it to 0 when sent */
    uint8_t out[BDL__MOST_HANDSHAKE];
    uint8_t binding[BDL__BINDING_SIZE];
    uint8_t intros[2][BDL__INTRO_SIZE]; /* dialer's, acceptor's */
    char reason[160];                   /* why `feed` refused */
} bdl__handshake;

/* Fills rank, n_ranks, peer (dialer), is_dialer, is_tls, secret, binding before; `nonce` must be fresh. */
void bdl__handshake_start(bdl__handshake *handshake, const uint8_t nonce[BDL__NONCE_SIZE]);
/* Takes a message of `expected` bytes; false = refused, see `reason`. */
bool bdl__handshake_feed(bdl__handshake *handshake, const uint8_t *message);

/* ---- peers --------------------------------------------------------------------------------------------- */

typedef struct bdl__request_list {
    bdl__request *first;
    bdl__request *last;
} bdl__request_list;

void bdl__list_push(bdl__request_list *list, bdl__request *request);
void bdl__list_remove(bdl__request_list *list, bdl__request *request);

/* A message that came before its receive; a large one has no data yet. */
typedef struct bdl__stray {
    struct bdl__stray *next;
    uint64_t tag;
    uint64_t size;
    bool is_large;
    bool is_complete;
    bdl__request *receive; /* set when the receive comes while data still does */
    uint8_t data[];
} bdl__stray;

/* A receive of the other side that waits for its send. */
typedef struct bdl__ready {
    uint64_t tag;
    uint64_t size;
    uint32_t id;
} bdl__ready;

/* A frame on its way out. */
typedef struct bdl__out {
    uint8_t head[BDL__FRAME_SIZE];
    size_t head_done;
    const uint8_t *payload; /* NULL = zeros, where the data was taken away by a failure */
    size_t payload_size;
    size_t payload_done;
    bdl__request *request; /* whose data it is, or NULL */
    bool is_active;
    bool is_last; /* nothing follows it */
} bdl__out;

/* A frame on its way in. */
typedef struct bdl__in {
    uint8_t *buffer; /* BDL__IN_SIZE */
    size_t filled;
    bdl__frame frame;
    uint8_t *payload; /* where it goes; NULL = nowhere */
    size_t payload_left;
    bdl__request *request; /* whose data it is, or NULL */
    bdl__stray *stray;
    bool is_active;
    uint8_t cause[BDL__MOST_CAUSE + 1]; /* of an ABORT */
} bdl__in;

typedef struct bdl__peer {
    bdl__wire wire;
    int rank;
    char address[BDL__ADDRESS_SIZE];
    double last_heard;
    double last_said;
    bool has_hello;  /* connected */
    bool owes_hello; /* frames to send */
    bool owes_ping;
    bool owes_abort;
    bool owes_goodbye;
    bool has_left;      /* said goodbye */
    bool is_finished;   /* nothing more is written */
    bool wants_out;     /* has more to write than the socket took */
    bool may_have_more; /* reading stopped for fairness */
    uint32_t next_id;
    size_t owes_credit; /* bytes of small messages that found their receive since the last credit */
    size_t in_flight; /* bytes of small messages that may lie at the other side without a receive */
    bdl__out out;
    bdl__in in;
    bdl__request_list unsent;    /* sends, in order */
    bdl__request_list announced; /* large sends */
    bdl__request_list receives;  /* in order; those with is_started have met their message */
    bdl__stray *strays;          /* in order */
    size_t strays_cost;          /* at most BDL__EAGER_WINDOW, or the peer breaks the rules */
    bdl__ready *readies;         /* [readies_capacity], owned */
    int64_t n_readies;
    int64_t readies_capacity;
    uint8_t *hello; /* owned, hello_size */
    size_t hello_size;
} bdl__peer;

/* Reads what has come. */
void bdl__peer_receive(bdl__group *group, bdl__peer *peer, double now);
/* Writes what can be written now. */
void bdl__peer_flush(bdl__group *group, bdl__peer *peer, double now);
/* Takes a new request. */
void bdl__peer_take_send(bdl__peer *peer, bdl__request *request);
void bdl__peer_take_receive(bdl__group *group, bdl__peer *peer, bdl__request *request);
/* A READY has met the large send `request`. */
void bdl__peer_match_ready(bdl__group *group, bdl__peer *peer, bdl__request *request,
                           const bdl__ready *ready);
/* Ends all its requests with REQUEST_FAILED; their memory is not touched any more. */
void bdl__peer_drop_requests(bdl__peer *peer);
/* Closes the connection; messages that have come stay. */
void bdl__peer_reset(bdl__group *group, bdl__peer *peer);
/* Closes it and frees everything. */
void bdl__peer_forget(bdl__group *group, bdl__peer *peer);
void bdl__request_end(bdl__request *request, request_state state);

/* ---- rendezvous.c ---------------------------------------------------------------------------------------- */

typedef struct bdl__knock bdl__knock; /* a connection that has not proven itself */

typedef struct bdl__rendezvous {
    int listener;
    char (*addresses)[BDL__ADDRESS_SIZE]; /* [n_ranks], owned */
    bdl__knock *knocks;                   /* [most_knocks], owned */
    int most_knocks;
    int n_refusals; /* logged */
    double deadline;
    double listen_again; /* not before; after accept failed */
} bdl__rendezvous;

bdl_status bdl__rendezvous_open(bdl__group *group, const char *const *addresses);
void bdl__rendezvous_close(bdl__group *group);
/* Adds what it waits for to `fds`; returns how many. */
int bdl__rendezvous_watch(bdl__group *group, struct pollfd *fds, double now);
/* Seconds until it has something to do by itself. */
double bdl__rendezvous_pause(const bdl__group *group, double now);
/* Goes on; `fds` are those of watch. Sets group->is_connected or fails the group. */
void bdl__rendezvous_go_on(bdl__group *group, const struct pollfd *fds, int n_fds, double now);

/* ---- the group ---------------------------------------------------------------------------------------------- */

typedef enum bdl__group_phase {
    BDL__PHASE_LISTENING = 0,
    BDL__PHASE_CONNECTING = 1,
    BDL__PHASE_CONNECTED = 2,
    BDL__PHASE_FAILED = 3
} bdl__group_phase;

struct bdl__group {
    const bdl_allocator *allocator; /* borrowed */
    const bdl__log *log;            /* borrowed */
    int rank;
    int n_ranks;
    uint8_t secret[BDL__SECRET_SIZE];
    double connect_seconds;
    double handshake_seconds;
    double wait_seconds;
    double silence_seconds;
    const bdl__cancel *cancel; /* borrowed, or NULL */
    bool cancels_connect_only;
    char address[BDL__ADDRESS_SIZE];
    bdl__tls *tls;       /* owned, or NULL */
    bdl__thread *thread; /* owned */
    pid_t pid;
    int wake_fd;

    _Atomic uint32_t phase;     /* bdl__group_phase, and a futex */
    _Atomic uint32_t is_asleep; /* the thread is in poll */

    pthread_mutex_t mutex; /* guards from here ... */
    bdl__request_list posted;
    bool is_closing;
    bool has_failed;
    bdl_status failure_code;
    int failed_rank;
    char failure[BDL__MOST_CAUSE]; /* ... to here */

    /* Of the thread. */
    bdl__peer *peers;   /* [n_ranks], owned */
    struct pollfd *fds; /* 2 x most_fds: all, then those that are open */
    int most_fds;
    bool has_told; /* the failure was passed on */
    bool is_leaving;
    double leave_deadline;
    bdl__rendezvous rendezvous;

    uint8_t *hello; /* own, owned */
    size_t hello_size;
    uint64_t n_collectives; /* of the caller of collectives */
};

/* The first failure stays. `rank` is the one that failed. Any thread; wakes the group's. */
void bdl__group_fail(bdl__group *group, int rank, bdl_status code, const char *format, ...)
    BDL__PRINTF(4, 5);
void bdl__group_wake(bdl__group *group);
void bdl__group_run(void *group); /* loop.c: the thread */

#endif
