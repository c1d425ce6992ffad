/* Two nodes in one program: they connect, one sends a message, the other reads it; then trust, and the end. */

#include <kwaainet.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t PATIENCE_MS = 30000;

/* Ends the program with what the library says. */
static void check(kwaai_status_t status, kwaai_error_t *error, const char *what)
{
    if (status == KWAAI_OK) {
        return;
    }
    fprintf(stderr, "%s: %s: %s\n", what, kwaai_status_name(status), error ? kwaai_error_message(error) : "");
    kwaai_error_free(error);
    exit(1);
}

static void require(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "this does not hold: %s\n", what);
        exit(1);
    }
}

int main(void)
{
    kwaai_error_t *error = NULL;
    require(kwaai_abi_version() == KWAAI_ABI_VERSION, "the header fits the library");

    kwaai_node_t *alice = NULL, *bob = NULL;
    const char *config = "{\"preset\": \"ephemeral\", \"name\": \"alice\"}";
    check(kwaai_node_start(config, PATIENCE_MS, &alice, &error), error, "start alice");
    check(kwaai_node_start("{\"preset\": \"ephemeral\"}", PATIENCE_MS, &bob, &error), error, "start bob");

    char *alice_id = NULL, *bob_id = NULL, *bob_did = NULL, *address = NULL, *reached = NULL;
    check(kwaai_node_peer_id(alice, &alice_id, &error), error, "alice's PeerId");
    check(kwaai_node_peer_id(bob, &bob_id, &error), error, "bob's PeerId");
    check(kwaai_node_did(bob, &bob_did, &error), error, "bob's DID");
    check(kwaai_node_address(bob, PATIENCE_MS, &address, &error), error, "bob's address");
    check(kwaai_node_connect(alice, address, PATIENCE_MS, &reached, &error), error, "connect");
    require(strcmp(reached, bob_id) == 0, "alice reached bob");
    kwaai_string_free(reached);

    kwaai_stream_t *inbox = NULL;
    check(kwaai_node_messages(bob, &inbox, &error), error, "bob's messages");
    check(kwaai_node_send_message(alice, bob_id, "hello from C", PATIENCE_MS, &error), error, "send");
    kwaai_item_t item = KWAAI_ITEM_END;
    char *message = NULL;
    check(kwaai_stream_next(inbox, PATIENCE_MS, &item, &message, &error), error, "read");
    require(item == KWAAI_ITEM_VALUE, "a message came");
    require(strstr(message, "\"text\":\"hello from C\"") != NULL, "it is the one that was sent");
    require(strstr(message, alice_id) != NULL, "it is from alice");

    /* Alice trusts an issuer, who vouches for bob. */
    kwaai_trust_t *issuer = NULL, *trust = NULL;
    check(kwaai_trust_open(NULL, NULL, NULL, PATIENCE_MS, &issuer, &error), error, "an issuer");
    check(kwaai_node_trust(alice, &trust, &error), error, "alice's trust graph");
    char *issuer_did = NULL, *credential = NULL, *summary = NULL, *arithmetic = NULL;
    double score = -1;
    check(kwaai_trust_score(trust, bob_id, PATIENCE_MS, &score, &arithmetic, &error), error, "score");
    require(score == 0.0, "nobody is trusted at first");
    kwaai_string_free(arithmetic);
    check(kwaai_trust_did(issuer, &issuer_did, &error), error, "the issuer's DID");
    check(kwaai_trust_trust_issuer(trust, issuer_did, "[\"VerifiedNodeVC\"]", PATIENCE_MS, &error), error, "trust");
    check(kwaai_trust_issue(issuer, "VerifiedNodeVC", bob_did, NULL, KWAAI_UNSET, false, PATIENCE_MS, &credential, &error),
          error, "issue");
    check(kwaai_trust_import_credential(trust, credential, PATIENCE_MS, &summary, &error), error, "import");
    check(kwaai_trust_score(trust, bob_id, PATIENCE_MS, &score, &arithmetic, &error), error, "score again");
    require(score == 0.2, "a verified node is worth 0.2");
    require(strstr(arithmetic, "\"tier\":\"known\"") != NULL, "and known");

    /* Errors say what is wrong. */
    kwaai_status_t status = kwaai_node_connect(alice, "nonsense", PATIENCE_MS, &reached, &error);
    require(status == KWAAI_INVALID_ARGUMENT && reached == NULL, "nonsense is no address");
    require(strcmp(kwaai_error_code(error), "invalid_argument") == 0, "the error has the code");
    require(kwaai_error_status(error) == status && !kwaai_error_retryable(error), "and the status");
    kwaai_error_free(error);

    check(kwaai_node_shutdown(alice, 1000, PATIENCE_MS, &error), error, "shutdown");
    check(kwaai_node_shutdown(alice, 1000, PATIENCE_MS, &error), error, "shutdown again");
    require(kwaai_node_send_message(alice, bob_id, "late", PATIENCE_MS, NULL) == KWAAI_CLOSED, "it is closed");
    check(kwaai_node_shutdown(bob, 1000, PATIENCE_MS, &error), error, "shutdown bob");
    check(kwaai_stream_next(inbox, PATIENCE_MS, &item, &reached, NULL), NULL, "the end of the inbox");
    require(item == KWAAI_ITEM_END && reached == NULL, "messages end with the node");

    kwaai_stream_free(inbox);
    kwaai_trust_free(trust);
    kwaai_trust_free(issuer);
    kwaai_node_free(alice);
    kwaai_node_free(bob);
    char *texts[] = {alice_id, bob_id, bob_did, address, message, issuer_did, credential, summary, arithmetic};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        require(kwaai_string_free(texts[i]) == KWAAI_OK, "a text is freed once");
    }
    require(kwaai_live_handles() == 0, "nothing is left behind");
    puts("ok");
    return 0;
}
