#pragma once

#include <pthread.h>

#include "alert/alerter.h"
#include "alert/letters.h"

/* What the channels' threads and the clerk share. Private to alert. */

/* A channel and its thread. */
struct carrier {
    struct alerter *alerter;
    size_t index;
    const struct alert_channel *channel;
    pthread_t thread;
    pthread_cond_t changed;
    struct letters letters; /* under the alerter's lock, as all below */
    struct alerter_figures figures;
};

struct carry_post {
    struct post post;
    struct alerter *alerter;
    struct alert_carried carried;
};

struct alerter {
    struct alerter_conf conf;
    struct carrier *carriers;
    size_t carrier_count;
    pthread_mutex_t lock;
    uint64_t last_number; /* under lock, as all of this paragraph */
    bool is_ending;
    size_t running;       /* threads of channels that have not ended */
    pthread_cond_t ended; /* one of them has */
    bool has_left;        /* all of them have */
    bool is_written;      /* the file takes what is to be written: senders wait for that */
    bool has_unwritten;   /* the clerk has something to do */
    pthread_cond_t clerk_changed;
    atomic_bool cancel;

    /* the clerk's own: */
    char *path; /* NULL: no file, no clerk */
    pthread_t clerk;
    struct outbox_db *db; /* NULL: not open now */
    bool is_failing;
    bool has_loaded;
    uint64_t opened_ms; /* when it first tried */
    uint64_t retry_ms;
    struct carry_post *carries; /* owned: until the loop has ended */
};

void alerter_lock(struct alerter *a);
void alerter_unlock(struct alerter *a);

/* Waits for the condition or until then; the lock is held. */
void alerter_wait(struct alerter *a, pthread_cond_t *changed, uint64_t due_ms);

/* Something of a letter is to be written; the lock is held. */
void alerter_note_unwritten(struct alerter *a);

/* Tells log and journal what became of a letter; no lock is held. */
void alerter_tell_failed(struct alerter *a, const char *channel, const struct letter *l,
                         const char *why);

/* The clerk's thread. */
void *clerk_run(void *alerter);
