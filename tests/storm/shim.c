/* A library to preload: it counts what a process does to the files below a folder, and injects a
   fault at a chosen count.

   The environment variables that it reads, all set by tests/storm/injecting.py:

     STORM_BELOW    the folder
     STORM_WHO      kind of process to count in: command, server, worker (see `kind_of_process`)
     STORM_COUNTER  a file of at least 8 bytes that all these processes share; it holds the count
     STORM_LOG      if set, a file to which each counted call is appended: number, call, path
     STORM_AT       number of the call at which the fault is injected; 0 or unset: never
     STORM_DO       the fault:
                      kill       SIGKILL before the call
                      tear       half of a write, or the whole of another call, then SIGKILL
                      signal:N   signal N before the call
                      error:N    the call fails with errno N
                      errors:N   this call and all later ones that make or grow files fail with N
                      clock:S    the clock is S seconds ahead (S < 0: behind) from this call on
     STORM_READS    if set, opening files for reading is counted, and nothing else

   Calls that change files are counted: open to write, write, rename, unlink, mkdir, truncate, sync. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sendfile.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { PASS, TEAR, FAIL };
enum { FILES = 65536 };

static const char *below, *action;
static size_t below_length;
static _Atomic long *counter;
static long at;
static int log_file = -1, reads_only, active;
static _Atomic int sticky_error;
static _Atomic long clock_shift;
static _Atomic char is_below[FILES];

static int kind_of_process(char *kind) {
    char line[4096];
    FILE *file = fopen("/proc/self/cmdline", "rb");
    size_t size = file ? fread(line, 1, sizeof line - 1, file) : 0;
    if (file) fclose(file);
    for (size_t i = 0; i < size; i++)
        if (!line[i]) line[i] = ' ';
    line[size] = 0;
    const char *found = "other";
    if (strstr(line, "prefect_server") || strstr(line, "mlflow_server")) found = "server";
    else if (strstr(line, "spawn_main")) found = "worker";
    else if (strstr(line, "resource_tracker") || strstr(line, "flows.servers.processes")) found = "guard";
    else if (strstr(line, "bin/rnnlm") || strstr(line, "flows.cli")) found = "command";
    return strcmp(found, kind) == 0;
}

__attribute__((constructor)) static void start(void) {
    char *who = getenv("STORM_WHO"), *path = getenv("STORM_COUNTER"), *folder = getenv("STORM_BELOW");
    if (!who || !path || !folder || !kind_of_process(who)) return;
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) return;
    void *shared = mmap(NULL, sizeof(long), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (shared == MAP_FAILED) return;
    counter = shared;
    below = folder;
    below_length = strlen(folder);
    at = getenv("STORM_AT") ? atol(getenv("STORM_AT")) : 0;
    action = getenv("STORM_DO") ? getenv("STORM_DO") : "";
    reads_only = getenv("STORM_READS") != NULL;
    if (getenv("STORM_LOG"))
        log_file = open(getenv("STORM_LOG"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    active = 1;
}

/* Return whether a path, which may be relative to a folder, is below the folder that is watched. */
static int watched(int folder, const char *path, char *whole) {
    if (!active || !path) return 0;
    if (path[0] == '/') {
        snprintf(whole, PATH_MAX, "%s", path);
    } else {
        char link[64];
        snprintf(link, sizeof link, folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", folder);
        ssize_t size = readlink(link, whole, PATH_MAX - 1);
        if (size < 0) return 0;
        snprintf(whole + size, PATH_MAX - size, "/%s", path);
    }
    return strncmp(whole, below, below_length) == 0 && whole[below_length] == '/';
}

static int watched_file(int file, char *whole) {
    if (!active || file < 0 || file >= FILES || !is_below[file]) return 0;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, whole, PATH_MAX - 1);
    if (size < 0) return 0;
    whole[size] = 0;
    return strncmp(whole, below, below_length) == 0 && whole[below_length] == '/';
}

/* Count a call, inject the fault if this is the one, and say what the caller should do. */
static int count(const char *call, const char *path, int grows) {
    long number = atomic_fetch_add(counter, 1) + 1;
    if (log_file >= 0) dprintf(log_file, "%ld %s %s\n", number, call, path + below_length + 1);
    if (sticky_error && grows) {
        errno = sticky_error;
        return FAIL;
    }
    if (number != at) return PASS;
    long value = strchr(action, ':') ? atol(strchr(action, ':') + 1) : 0;
    if (!strcmp(action, "kill")) {
        kill(getpid(), SIGKILL);
        pause();
    } else if (!strcmp(action, "tear")) {
        return TEAR;
    } else if (!strncmp(action, "signal:", 7)) {
        kill(getpid(), (int)value);
    } else if (!strncmp(action, "error:", 6)) {
        errno = (int)value;
        return FAIL;
    } else if (!strncmp(action, "errors:", 7)) {
        sticky_error = errno = (int)value;
        return FAIL;
    } else if (!strncmp(action, "clock:", 6)) {
        clock_shift = value;
    }
    return PASS;
}

static void die(void) {
    kill(getpid(), SIGKILL);
    pause();
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

/* A call on a path: count it, then do it, unless it is to fail. */
#define ON_PATH(call, folder, path, grows, failure) \
    char whole[PATH_MAX * 2]; \
    int torn = 0; \
    if (!reads_only && watched(folder, path, whole)) { \
        int what = count(call, whole, grows); \
        if (what == FAIL) return failure; \
        torn = what == TEAR; \
    }

#define DONE(result) \
    do { \
        if (torn) die(); \
        return result; \
    } while (0)

static int opened(int file, int below_it) {
    if (file >= 0 && file < FILES) is_below[file] = (char)below_it;
    return file;
}

static int judge_open(int folder, const char *path, int flags, int *is_ours) {
    char whole[PATH_MAX * 2];
    if (!watched(folder, path, whole)) return PASS;
    *is_ours = 1;
    int writes = (flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) != 0;
    if (flags & O_DIRECTORY || writes == reads_only) return PASS;
    return count(writes ? "open" : "read", whole, 1);
}

#define OPEN(name, folder, path, real_call) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    } \
    int is_ours = 0, what = judge_open(folder, path, flags, &is_ours); \
    if (what == FAIL) return -1; \
    int file = opened(real_call, is_ours); \
    if (what == TEAR) die(); \
    return file

int open(const char *path, int flags, ...) {
    REAL(int, "open", const char *, int, ...);
    OPEN("open", AT_FDCWD, path, real(path, flags, mode));
}
int open64(const char *path, int flags, ...) {
    REAL(int, "open64", const char *, int, ...);
    OPEN("open64", AT_FDCWD, path, real(path, flags, mode));
}
int openat(int folder, const char *path, int flags, ...) {
    REAL(int, "openat", int, const char *, int, ...);
    OPEN("openat", folder, path, real(folder, path, flags, mode));
}
int openat64(int folder, const char *path, int flags, ...) {
    REAL(int, "openat64", int, const char *, int, ...);
    OPEN("openat64", folder, path, real(folder, path, flags, mode));
}
FILE *fopen64(const char *path, const char *mode) {
    REAL(FILE *, "fopen64", const char *, const char *);
    int is_ours = 0, flags = strpbrk(mode, "wa+") ? O_WRONLY : 0;
    if (judge_open(AT_FDCWD, path, flags, &is_ours) == FAIL) return NULL;
    return real(path, mode);
}
FILE *fopen(const char *path, const char *mode) { return fopen64(path, mode); }

#define WRITE(bytes, half, whole_call) \
    char path[PATH_MAX]; \
    if (!reads_only && watched_file(file, path)) { \
        int what = count("write", path, 1); \
        if (what == FAIL) return -1; \
        if (what == TEAR) { \
            half; \
            die(); \
        } \
    } \
    return whole_call

ssize_t write(int file, const void *data, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t);
    WRITE(size, (void)!real(file, data, size / 2), real(file, data, size));
}
ssize_t pwrite(int file, const void *data, size_t size, off_t place) {
    REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
    WRITE(size, (void)!real(file, data, size / 2, place), real(file, data, size, place));
}
ssize_t pwrite64(int file, const void *data, size_t size, off64_t place) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    WRITE(size, (void)!real(file, data, size / 2, place), real(file, data, size, place));
}
ssize_t writev(int file, const struct iovec *parts, int number) {
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    WRITE(number, (void)!real(file, parts, number / 2), real(file, parts, number));
}
ssize_t sendfile(int file, int from, off_t *place, size_t size) {
    REAL(ssize_t, "sendfile", int, int, off_t *, size_t);
    WRITE(size, (void)0, real(file, from, place, size));
}
ssize_t sendfile64(int file, int from, off64_t *place, size_t size) {
    REAL(ssize_t, "sendfile64", int, int, off64_t *, size_t);
    WRITE(size, (void)0, real(file, from, place, size));
}
ssize_t copy_file_range(int from, off64_t *a, int file, off64_t *b, size_t size, unsigned flags) {
    REAL(ssize_t, "copy_file_range", int, off64_t *, int, off64_t *, size_t, unsigned);
    WRITE(size, (void)0, real(from, a, file, b, size, flags));
}

#define ON_FILE(call, grows, real_call) \
    char path[PATH_MAX]; \
    int torn = 0; \
    if (!reads_only && watched_file(file, path)) { \
        int what = count(call, path, grows); \
        if (what == FAIL) return -1; \
        torn = what == TEAR; \
    } \
    int result = real_call; \
    DONE(result)

int fsync(int file) {
    REAL(int, "fsync", int);
    ON_FILE("sync", 0, real(file));
}
int fdatasync(int file) {
    REAL(int, "fdatasync", int);
    ON_FILE("sync", 0, real(file));
}
int ftruncate(int file, off_t size) {
    REAL(int, "ftruncate", int, off_t);
    ON_FILE("truncate", 0, real(file, size));
}
int ftruncate64(int file, off64_t size) {
    REAL(int, "ftruncate64", int, off64_t);
    ON_FILE("truncate", 0, real(file, size));
}
int close(int file) {
    REAL(int, "close", int);
    if (file >= 0 && file < FILES) is_below[file] = 0;
    return real(file);
}

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    ON_PATH("rename", AT_FDCWD, to, 0, -1);
    int result = real(from, to);
    DONE(result);
}
int renameat(int a, const char *from, int b, const char *to) {
    REAL(int, "renameat", int, const char *, int, const char *);
    ON_PATH("rename", b, to, 0, -1);
    int result = real(a, from, b, to);
    DONE(result);
}
int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    ON_PATH("unlink", AT_FDCWD, path, 0, -1);
    int result = real(path);
    DONE(result);
}
int unlinkat(int folder, const char *path, int flags) {
    REAL(int, "unlinkat", int, const char *, int);
    ON_PATH("unlink", folder, path, 0, -1);
    int result = real(folder, path, flags);
    DONE(result);
}
int rmdir(const char *path) {
    REAL(int, "rmdir", const char *);
    ON_PATH("unlink", AT_FDCWD, path, 0, -1);
    int result = real(path);
    DONE(result);
}
int mkdir(const char *path, mode_t mode) {
    REAL(int, "mkdir", const char *, mode_t);
    ON_PATH("mkdir", AT_FDCWD, path, 1, -1);
    int result = real(path, mode);
    DONE(result);
}
int mkdirat(int folder, const char *path, mode_t mode) {
    REAL(int, "mkdirat", int, const char *, mode_t);
    ON_PATH("mkdir", folder, path, 1, -1);
    int result = real(folder, path, mode);
    DONE(result);
}

/* The clock. Only the time of day jumps; time since the machine started never does. */
int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(int, "clock_gettime", clockid_t, struct timespec *);
    int result = real(clock, now);
    if (!result && clock == CLOCK_REALTIME) now->tv_sec += clock_shift;
    return result;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    REAL(int, "gettimeofday", struct timeval *restrict, void *restrict);
    int result = real(now, zone);
    if (!result) now->tv_sec += clock_shift;
    return result;
}
time_t time(time_t *now) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (now) *now = exact.tv_sec;
    return exact.tv_sec;
}
