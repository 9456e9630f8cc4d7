/* SPDX-License-Identifier: Apache-2.0 */
/* What a training run writes beside checkpoints. All places are tried before the first iteration: nobody
 * should learn after hours of training that a directory cannot be written. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "train/trainer.h"

static bool given(const char *text) { return text && *text; }

/* Makes the directory, and a file in it that is removed at once. */
static bdl_status try_directory(bdl__arena *arena, const char *option, const char *directory)
{
    const char *name, *path;
    if (!given(directory)) {
        return BDL_OK;
    }
    const bdl_status status = bdl__make_directories(directory);
    if (status != BDL_OK) {
        return bdl__fail_in(status, "%s", option);
    }
    BDL__TRY(bdl__arena_printf(arena, &name, ".bdl-try-%ld", (long)getpid()));
    BDL__TRY(bdl__path_join(arena, directory, name, &path));
    const int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    BDL__CHECK(file >= 0, BDL_ERR_IO, "%s: cannot write into '%s': %s", option, directory,
               strerror(errno));
    (void)close(file);
    (void)unlink(path);
    return BDL_OK;
}

/* A log is opened without being emptied: whether this run goes on with it is not known yet. */
static bdl_status try_file(const char *option, const char *path)
{
    if (!given(path)) {
        return BDL_OK;
    }
    const int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    BDL__CHECK(file >= 0, BDL_ERR_IO, "%s: cannot write '%s': %s", option, path, strerror(errno));
    (void)close(file);
    return BDL_OK;
}

bdl_status bdl__trainer_try_outputs(bdl__trainer *t)
{
    const bdl__train_params *const p = &t->params;
    BDL__TRY(try_directory(&t->arena, "save", p->save));
    BDL__TRY(try_directory(&t->arena, "checkpoint", p->checkpoint));
    BDL__TRY(try_directory(&t->arena, "summary", p->summary));
    BDL__TRY(try_file("log", p->log));
    return given(p->checkpoint) && !p->resume
               ? bdl__checkpoint_check_new(t->session.allocator, p->checkpoint)
               : BDL_OK;
}

bdl_status bdl__trainer_open_reports(bdl__trainer *t)
{
    const bdl__train_params *const p = &t->params;
    if (given(p->log)) {
        t->log_file = fopen(p->log, t->position.iteration ? "ae" : "we");
        BDL__CHECK(t->log_file, BDL_ERR_IO, "log: cannot write '%s': %s", p->log, strerror(errno));
    }
    if (given(p->summary)) {
        BDL__TRY(bdl__summary_create(t->session.allocator, p->summary, "train", &t->train_summary));
    }
    if (given(p->summary) && t->val) {
        BDL__TRY(
            bdl__summary_create(t->session.allocator, p->summary, "validation", &t->val_summary));
    }
    return BDL_OK;
}

bdl_status bdl__trainer_check_log(const bdl__trainer *t)
{
    BDL__CHECK(!t->log_file || !ferror(t->log_file), BDL_ERR_IO, "log: cannot write '%s': %s",
               t->params.log, strerror(t->log_errno));
    return BDL_OK;
}
