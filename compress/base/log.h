/*
 * Log lines and their sink. Library folders speak only at debug; the daemon decides where lines go.
 *
 * The sink is process-wide state owned by daemon/: set once before threads start. Threads:
 * log_line() from any; the sink must be thread-safe.
 */
#ifndef COMPRESS_BASE_LOG_H
#define COMPRESS_BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

typedef void log_sink(void *self, enum log_level level, const char *text);

void log_set_sink(log_sink *sink, void *self, enum log_level up_to);
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
