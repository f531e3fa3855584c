/*
 * A domain's name within a line of the log, "key=value .. text". Names may have blanks and may look like other keys: such a name stands in
 * quotation marks, so that daemon_log.h finds its end. No state, any thread.
 */
#ifndef LOG_NAME_H
#define LOG_NAME_H

#define LOG_NAME_BYTES 256

struct log_name {
	char text[LOG_NAME_BYTES];
};

/* For printf(): log_name(name).text. Longer names are cut; quotation marks within become apostrophes. */
struct log_name log_name(const char *name);

#endif
