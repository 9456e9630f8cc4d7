/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands share. The command line is a thin front: it uses bdl.h only. */
#ifndef BDL_CLI_CLI_H
#define BDL_CLI_CLI_H

#include <bdl/bdl.h>
#include <stdio.h>

enum { EXIT_FINE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_SIGINT = 130, EXIT_SIGTERM = 143 };

#define MAX_FILES 4096

/* A parsed command line: the verb's options, and what every verb understands. */
typedef struct command {
    const char *verb;
    bdl_context *context;
    bdl_options *options; /* NULL for verbs without any */
    int argc;             /* arguments after the verb */
    char **argv;
    int32_t threads;
    bool json, quiet, help;
    const char *format, *out;   /* predict */
    const char **rest;          /* arguments that are not options */
    int64_t n_rest;
} command;

/* Prints the text as one line on stderr. */
void complain(const char *format, ...);
/* Prints the last error as one line on stderr; gives the exit code that belongs to the status. */
int report_error(bdl_status status);
/* The exit code of a call that has ended: prints the error if there is one; a signal has its own code. */
int finish(bdl_status status);
/* Prints "bdl VERB: text" and how to get help; gives EXIT_USAGE. */
int usage_error(const command *c, const char *format, ...);

/* Parses options into c->options: --name value, --name=value, --switch, -- . `first` names the option that
 * takes the first argument without a name, or NULL. Fills rest. */
int parse_options(command *c, const char *first);
/* Makes the context and, where the verb has options, parses them. */
int open_command(command *c, const char *first);
/* The end of a verb's help: options that the library's table does not list. */
void print_own_options(const command *c);
void close_command(command *c);

/* Signals: Ctrl-C and SIGTERM cancel the context; a second one ends the process at once. */
void watch_signals(bdl_context *context);

/* Prints a text that the library gave and frees it. */
int print_text(bdl_status status, char *text);
/* A JSON string with its quotes; file names may hold anything. */
void print_quoted(FILE *out, const char *text);
/* The value that the command line gives an option, the last of several; NULL where it does not name it. */
const char *option_value(const command *c, const char *name);
/* A usage error if there are more than `most` arguments that are no options. */
int check_rest(const command *c, int64_t most);

/* In a rank that `bdl launch` has started: joins the others, and gives the group to the options. *group stays NULL
 * elsewhere. */
int join_launch(command *c, bdl_group **group);

int cmd_train(command *c);
int cmd_launch(command *c);
int cmd_eval(command *c);
int cmd_predict(command *c);
int cmd_inspect(command *c);
int cmd_layers(command *c);
int cmd_schema(command *c);
int cmd_bench(command *c);
int cmd_doctor(command *c);
int cmd_version(command *c);

#endif
