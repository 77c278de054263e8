#ifndef BASE_ERR_H
#define BASE_ERR_H 1

/* Errors.
 *
 * A function that can fail returns 0 or a positive errno value, on which a
 * caller may branch.  Its last parameter is 'struct err *', which receives
 * the sentence that a person will read; callers that need only the number
 * pass NULL.  '*err' is written only on failure.
 *
 * Library code never logs.  It returns; each caller on the way up may say
 * what it was trying to do, and the one that decides to stop there logs
 * once. */

struct err {
    int code;                   /* The value that the function returned. */
    char text[400];             /* Outermost context first, no newline. */
};

#define ERR_INIT { 0, "" }

/* Sets '*err' (if non-null) and returns 'code', so that a function fails in
 * one line: return err_set(err, ENOENT, "no VM \"%s\"", name); */
int err_set(struct err *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "what: " in front of the text in '*err' and returns its code.  With a
 * null 'err' it returns 'code'. */
int err_add(struct err *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif /* base/err.h */
