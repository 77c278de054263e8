#ifndef AGENT_FAULTS_H
#define AGENT_FAULTS_H 1

/* Fault points on the agent's control socket.
 *
 *      watari/fault set POINT hold|kill|off
 *      watari/fault release                    lets go what is held
 *      watari/fault show                       a line for each point
 *
 * An agent without --test-faults refuses all of them. */

struct agent;

void faults_init(struct agent *);

#endif /* agent/faults.h */
