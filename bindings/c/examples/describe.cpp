// describe.cpp - the same handles in C++: owned by unique_ptr, failures as exceptions, words to a lambda.
//
//   c++ -std=c++17 describe.cpp $(pkg-config --cflags --libs hadpo json-c) -o describe
//   ./describe llava-1.5-7b-hf kitchen.jpg
#include <hadpo.h>
#include <json.h>

#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>

template <auto Free>
struct Deleter {
    template <class T>
    void operator()(T *handle) const { Free(handle); }
};
using Engine = std::unique_ptr<hadpo_engine, Deleter<hadpo_engine_free>>;
using Model = std::unique_ptr<hadpo_model, Deleter<hadpo_model_free>>;
using Image = std::unique_ptr<hadpo_image, Deleter<hadpo_image_free>>;
using Bytes = std::unique_ptr<hadpo_bytes, Deleter<hadpo_bytes_free>>;
using Json = std::unique_ptr<json_object, Deleter<json_object_put>>;

// Calls `function(arguments..., &result, &error)`; gives the result to its owner or throws what the library says.
template <class Owner, class Function, class... Arguments>
Owner make(Function function, Arguments... arguments)
{
    typename Owner::pointer result = nullptr;
    hadpo_error *error = nullptr;
    if (hadpo_status status = function(arguments..., &result, &error)) {
        std::string text = std::string(hadpo_status_name(status)) + " " + hadpo_error_json(error);
        hadpo_error_free(error);
        throw std::runtime_error(text);
    }
    return Owner(result);
}

// `base` with one more key: text that comes from outside is quoted by a JSON library.
static std::string with(const char *base, const char *key, const char *value)
{
    Json object(json_tokener_parse(base));
    json_object_object_add(object.get(), key, json_object_new_string(value));
    return json_object_to_json_string(object.get());
}

using Listener = std::function<void(json_object *)>;

// An exception must not cross the library: a listener that throws stops the call instead.
static int32_t on_event(const char *record, size_t, void *user) noexcept try {
    Json event(json_tokener_parse(record));
    (*static_cast<Listener *>(user))(event.get());
    return 0;
} catch (...) {
    return 1;
}

int main(int argc, char **argv) try {
    if (argc != 3) return std::cerr << "usage: describe MODEL-FOLDER PICTURE\n", 2;
    std::ifstream file(argv[2], std::ios::binary);
    std::string picture{std::istreambuf_iterator<char>(file), {}};
    Listener print = [](json_object *event) {
        if (json_object *text = nullptr; json_object_object_get_ex(event, "text", &text))
            std::cout << json_object_get_string(text) << std::flush;
    };
    auto engine = make<Engine>(hadpo_engine_open, "{\"schema\":\"hadpo.engine/1\"}", HADPO_NUL, on_event, &print);
    auto folder = with("{\"schema\":\"hadpo.model/1\"}", "path", argv[1]);
    auto model = make<Model>(hadpo_model_open, engine.get(), folder.c_str(), HADPO_NUL);
    auto image = make<Image>(hadpo_image_decode, picture.data(), picture.size());
    auto request = with("{\"schema\":\"hadpo.generate/1\",\"stream\":true}", "question", "Describe this image in detail.");
    auto answer = make<Bytes>(hadpo_model_generate, model.get(), request.c_str(), HADPO_NUL, image.get());
    std::cout << "\n" << hadpo_bytes_data(answer.get()) << "\n";
} catch (const std::exception &failure) {
    std::cerr << failure.what() << "\n";
    return 1;
}
