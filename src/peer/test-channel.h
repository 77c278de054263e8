#ifndef PEER_TEST_CHANNEL_H
#define PEER_TEST_CHANNEL_H 1

/* What tests of channels on loopback share.  Time is real, but each wait for
 * something ends after WAIT_MS.  Only tests include this, after cmocka.h. */

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "timeval.h"

#define WAIT_MS 10000

/* One turn of all channels' loops; each test has its own. */
static void turn(void);

#define WAIT_UNTIL(CONDITION)                                           \
    for (long long until_ = time_msec() + WAIT_MS; !(CONDITION); turn()) { \
        if (time_msec() > until_) {                                     \
            fail_msg("never: %s", #CONDITION);                          \
        }                                                               \
    }

static inline void
rest(int ms)
{
    for (long long until = time_msec() + ms; time_msec() < until; ) {
        turn();
    }
}

static inline int
free_port(void)
{
    struct sockaddr_in sin = { .sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof sin;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *) &sin, sizeof sin), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *) &sin, &len), 0);
    close(fd);
    return ntohs(sin.sin_port);
}

#endif /* peer/test-channel.h */
