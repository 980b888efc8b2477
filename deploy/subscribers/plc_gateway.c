/* Verdicts to a reject output, fail-safe: only a PASS lets a part through. Build: cc -o plc_gateway plc_gateway.c -lzmq
   ./plc_gateway [ENDPOINT [TOPIC [WORKER_PUBLIC_KEY]]]; with that key it speaks CURVE, own secret in $CMFM_SECRET_KEY. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <zmq.h> /* and with it stdio.h */
int main(int argc, char **argv) {
    const char *prefix = argc > 2 ? argv[2] : "cmfm/1/line1/station1/result/", *secret = getenv("CMFM_SECRET_KEY");
    static const char pass[] = "\xa7verdict\xa4PASS"; /* msgpack: key "verdict", value "PASS" */
    static char topic[512], result[65536], own[41]; int timeout_ms = 2000, more; size_t size = sizeof more;
    void *socket = zmq_socket(zmq_ctx_new(), ZMQ_SUB);
    zmq_setsockopt(socket, ZMQ_SUBSCRIBE, prefix, strlen(prefix));
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
    if (argc > 3 && (strlen(argv[3]) != 40 || zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, argv[3], 40) || !secret ||
        strlen(secret) != 40 || zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret, 40) ||
        zmq_curve_public(own, secret) || zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, own, 40)))
        return fputs("no usable CURVE keys\n", stderr), 2;
    if (zmq_connect(socket, argc > 1 ? argv[1] : "tcp://127.0.0.1:5556")) return perror("connect"), 2;
    for (;;) {
        if (zmq_recv(socket, topic, sizeof topic, 0) < 0) { puts("silence"); fflush(stdout); continue; }
        int length = zmq_recv(socket, result, sizeof result, 0);
        puts(length > 0 && length <= (int)sizeof result && memmem(result, length, pass, sizeof pass - 1) ? "PASS" : "REJECT");
        for (fflush(stdout); !zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size) && more;) zmq_recv(socket, topic, 1, 0);
    }
}
