// Two nodes exchange a text, in C++17: handles and texts free themselves, and a failed call throws.

#include <kwaainet.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>

namespace {

constexpr std::uint32_t wait_ms = 30000;

template <auto Free> struct Freeing {
    template <class T> void operator()(T *handle) const { Free(handle); }
};
using Node = std::unique_ptr<kwaai_node_t, Freeing<kwaai_node_free>>;
using Stream = std::unique_ptr<kwaai_stream_t, Freeing<kwaai_stream_free>>;
using Text = std::unique_ptr<char, Freeing<kwaai_string_free>>;

// Makes a call with an error to write to, and throws what it says.
template <class Call> void check(Call call)
{
    kwaai_error_t *error = nullptr;
    if (call(&error) == KWAAI_OK) {
        return;
    }
    const std::string what = kwaai_error_message(error);
    kwaai_error_free(error);
    throw std::runtime_error(what);
}

Node start(const std::string &name)
{
    const std::string config = R"({"preset": "ephemeral", "name": ")" + name + R"("})";
    kwaai_node_t *node = nullptr;
    check([&](kwaai_error_t **error) { return kwaai_node_start(config.c_str(), wait_ms, &node, error); });
    return Node(node);
}

std::string exchange(const Node &alice, const Node &bob)
{
    kwaai_stream_t *stream = nullptr;
    char *text = nullptr;
    check([&](kwaai_error_t **error) { return kwaai_node_messages(bob.get(), &stream, error); });
    const Stream inbox(stream);
    check([&](kwaai_error_t **error) { return kwaai_node_address(bob.get(), wait_ms, &text, error); });
    const Text address(text);
    check([&](kwaai_error_t **error) { return kwaai_node_connect(alice.get(), address.get(), wait_ms, &text, error); });
    const Text peer(text);
    check([&](kwaai_error_t **error) {
        return kwaai_node_send_message(alice.get(), peer.get(), "hello from C++", wait_ms, error);
    });
    kwaai_item_t item = KWAAI_ITEM_END;
    check([&](kwaai_error_t **error) { return kwaai_stream_next(inbox.get(), wait_ms, &item, &text, error); });
    const Text message(text);
    return message.get();
}

} // namespace

int main()
{
    try {
        const Node alice = start("alice"), bob = start("bob");
        std::printf("bob got %s\n", exchange(alice, bob).c_str());
        for (const Node *node : {&alice, &bob}) {
            check([&](kwaai_error_t **error) { return kwaai_node_shutdown(node->get(), 1000, wait_ms, error); });
        }
    } catch (const std::exception &failure) {
        std::fprintf(stderr, "%s\n", failure.what());
        return 1;
    }
    kwaai_library_shutdown(5000);
    return kwaai_live_handles() == 0 ? 0 : 1;
}
