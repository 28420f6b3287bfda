/* The functions that need no model: version, names, errors, configs, wrong JSON. */
#include "harness.h"

static const char *const schemas[] = {"hadpo.engine/1",   "hadpo.model/1",  "hadpo.generate/1", "hadpo.score/1",
                                      "hadpo.inspect/1",  "hadpo.train/1",  "hadpo.export/1",   "hadpo.pope/1",
                                      "hadpo.world/1",    "hadpo.world-pairs/1", "hadpo.world-base/1"};

static void test_version(void)
{
    char version[32];
    snprintf(version, sizeof version, "%d.%d.%d", HADPO_VERSION_MAJOR, HADPO_VERSION_MINOR, HADPO_VERSION_PATCH);
    check(strcmp(hadpo_version(), version) == 0, "the library's version is the header's: %s", hadpo_version());
    check(hadpo_abi() == HADPO_ABI, "the library's ABI is the header's%s", "");
}

static void test_status_names(void)
{
    static const struct {
        hadpo_status status;
        const char *name;
    } names[] = {{HADPO_OK, "OK"},           {HADPO_E_ARGUMENT, "ARGUMENT"}, {HADPO_E_BUSY, "BUSY"},
                 {HADPO_E_WEIGHTS, "WEIGHTS"}, {HADPO_E_NUMERICS, "NUMERICS"}, {HADPO_E_CALLBACK, "CALLBACK"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        check(strstr(hadpo_status_name(names[i].status), names[i].name) != NULL, "status name holds %s", names[i].name);
    const hadpo_status unknown[] = {3, -1, 999, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        check(hadpo_status_name(unknown[i]) != NULL, "an unknown status has a name%s", "");
}

static void test_nothing(void)
{
    hadpo_error_free(NULL);
    hadpo_bytes_free(NULL);
    hadpo_engine_free(NULL);
    hadpo_image_free(NULL);
    hadpo_model_free(NULL);
    hadpo_trainer_free(NULL);
    hadpo_engine_interrupt(NULL);
    (void)hadpo_error_json(NULL);
    (void)hadpo_bytes_data(NULL);
    check(hadpo_bytes_size(NULL) == 0, "no bytes have size 0%s", "");
}

/* Defaults resolve to themselves, and say their own schema first. */
static void test_defaults(void)
{
    for (size_t i = 0; i < sizeof schemas / sizeof schemas[0]; i++) {
        hadpo_bytes *json = NULL;
        hadpo_error *error = NULL;
        if (!check_status(hadpo_config_default(schemas[i], &json, &error), HADPO_OK, &error, schemas[i])) continue;
        const char *text = hadpo_bytes_data(json);
        check(text != NULL && hadpo_bytes_size(json) == strlen(text), "%s: ends in NUL beyond its size", schemas[i]);
        char head[64];
        snprintf(head, sizeof head, "{\"schema\":\"%s\"", schemas[i]);
        char compact[64];
        size_t n = 0;
        for (const char *at = text; *at != 0 && n < sizeof compact - 1; at++)
            if (*at != ' ' && *at != '\n') compact[n++] = *at;
        compact[n] = 0;
        check(strncmp(compact, head, strlen(head)) == 0, "%s: its first key is the schema", schemas[i]);
        hadpo_bytes_free(json);
    }
}

static void test_wrong_json(void)
{
    static const struct {
        const char *text;
        int status;
        const char *what;
    } cases[] = {
        {"", HADPO_E_JSON, "empty text"},
        {"{", HADPO_E_JSON, "an open brace"},
        {"{\"schema\":\"hadpo.engine/1\"} x", HADPO_E_JSON, "something after the end"},
        {"{\"schema\":\"hadpo.engine/1\",\"threads\":1,\"threads\":2}", HADPO_E_JSON, "a key twice"},
        {"{\"schema\":\"hadpo.engine/1\",\"threads\":NaN}", HADPO_E_JSON, "NaN"},
        {"{'schema':'hadpo.engine/1'}", HADPO_E_JSON, "single quotes"},
        {"{\"schema\":\"hadpo.engine/1\",\"kernels\":\"\\ud800\"}", HADPO_E_JSON, "half a surrogate pair"},
        {"{\"schema\":\"hadpo.engine/1\",\"kernels\":\"\xff\"}", HADPO_E_JSON, "a byte that is not UTF-8"},
        {"[]", -1, "an array"},
        {"{}", HADPO_E_CONFIG, "no schema"},
        {"{\"schema\":5}", HADPO_E_CONFIG, "a schema that is a number"},
        {"{\"schema\":\"hadpo.nothing/1\"}", HADPO_E_CONFIG, "an unknown schema"},
        {"{\"schema\":\"hadpo.engine/1\",\"treads\":2}", HADPO_E_CONFIG, "an unknown key"},
        {"{\"schema\":\"hadpo.engine/1\",\"threads\":\"2\"}", HADPO_E_CONFIG, "a string for a number"},
        {"{\"schema\":\"hadpo.engine/1\",\"threads\":-3}", HADPO_E_CONFIG, "a negative number of threads"},
        {"{\"schema\":\"hadpo.engine/1\",\"threads\":1e300}", HADPO_E_CONFIG, "1e300 threads"},
        {"{\"schema\":\"hadpo.engine/1\",\"threads\":99999999999999999999}", -1, "a number beyond 64 bits"},
        {"{\"schema\":\"hadpo.engine/1\",\"kernels\":\"vax\"}", HADPO_E_CONFIG, "unknown kernels"},
        {"{\"schema\":\"hadpo.train/1\",\"optimizer\":{\"learning_rate\":-1}}", HADPO_E_CONFIG, "a negative learning rate"},
        {"{\"schema\":\"hadpo.train/1\",\"optimizer\":7}", HADPO_E_CONFIG, "a number for an object"},
        {"{\"schema\":\"hadpo.generate/1\",\"question\":\"q\",\"temperature\":0.5}", HADPO_E_CONFIG, "a temperature where nothing is drawn"},
        {"{\"schema\":\"hadpo.train/1\",\"data\":{\"desc\":\"d\"},\"epochs\":2,\"steps\":3}", HADPO_E_CONFIG, "epochs and steps"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        hadpo_bytes *json = (hadpo_bytes *)&json;
        hadpo_error *error = NULL;
        check_status(hadpo_config_resolve(cases[i].text, strlen(cases[i].text), &json, &error), cases[i].status, &error, cases[i].what);
        check(json == NULL, "%s: out is NULL after the failure", cases[i].what);
    }
    /* What need not be whole is checked as far as it goes. */
    hadpo_bytes *whole = NULL;
    hadpo_error *why = NULL;
    const char *part = "{\"schema\":\"hadpo.generate/1\",\"num_beams\":2}", *wrong = "{\"schema\":\"hadpo.generate/1\",\"seed\":2}";
    if (check_status(hadpo_config_complete(part, HADPO_NUL, NULL, &whole, &why), HADPO_OK, &why, "a config without what is required"))
        check(strstr(hadpo_bytes_data(whole), "\"num_beams\": 2") != NULL && strstr(hadpo_bytes_data(whole), "\"max_new_tokens\": 512") != NULL,
              "what is given and what is not stand in a completed config%s", "");
    hadpo_bytes_free(whole);
    check_status(hadpo_config_complete(wrong, HADPO_NUL, NULL, &whole, &why), HADPO_E_CONFIG, &why, "a key without effect, completed");
    hadpo_engine *engine = NULL;
    hadpo_error *error = NULL;
    hadpo_config_resolve("{\"schema\":\"hadpo.engine/1\",\"treads\":2}", HADPO_NUL, (hadpo_bytes **)&engine, &error);
    const char *text = hadpo_error_json(error);
    check(text != NULL && strstr(text, "/treads") != NULL, "an unknown key: the error has its JSON pointer%s", "");
    check(text != NULL && strstr(text, "threads") != NULL, "an unknown key: the error has the nearest known name%s", "");
    hadpo_error_free(error);
}

static void test_sizes(void)
{
    const char *text = "{\"schema\":\"hadpo.engine/1\"}garbage that is beyond the size";
    hadpo_bytes *json = NULL;
    hadpo_error *error = NULL;
    check_status(hadpo_config_resolve(text, 27, &json, &error), HADPO_OK, &error, "a text ends at its size");
    hadpo_bytes_free(json);
    /* 100,000 open brackets: deep text must not overflow the stack. */
    size_t size = 100000;
    char *deep = malloc(size);
    if (deep == NULL) return;
    memset(deep, '[', size);
    check_status(hadpo_config_resolve(deep, size, &json, &error), HADPO_E_JSON, &error, "100,000 open brackets");
    free(deep);
}

static void test_pope_score(void)
{
    const char *questions = "{\"question_id\":1,\"image\":\"a.jpg\",\"text\":\"Is there a dog in the image?\",\"label\":\"yes\"}\n"
                            "{\"question_id\":2,\"image\":\"a.jpg\",\"text\":\"Is there a cat in the image?\",\"label\":\"no\"}\n";
    const char *answers = "{\"question_id\":1,\"question\":\"Is there a dog in the image?\",\"answer\":\"Yes.\"}\n"
                          "{\"question_id\":2,\"question\":\"Is there a cat in the image?\",\"answer\":\"No.\"}\n";
    hadpo_bytes *report = NULL;
    hadpo_error *error = NULL;
    if (check_status(hadpo_pope_score(questions, HADPO_NUL, answers, HADPO_NUL, &report, &error), HADPO_OK, &error, "two answers"))
        check(strstr(hadpo_bytes_data(report), "accuracy") != NULL, "the report has an accuracy%s", "");
    hadpo_bytes_free(report);
    report = NULL;
    const char *half = "{\"question_id\":1,\"question\":\"Is there a dog in the image?\",\"answer\":\"Yes\"}\n";
    check_status(hadpo_pope_score(questions, HADPO_NUL, half, HADPO_NUL, &report, &error), -1, &error, "an answer is missing");
    check_status(hadpo_pope_score("x", HADPO_NUL, answers, HADPO_NUL, &report, &error), -1, &error, "questions are no JSON Lines");
    check_status(hadpo_pope_score(questions, HADPO_NUL, "{}", HADPO_NUL, &report, &error), -1, &error, "an answer without its keys");
}

int main(int argc, char **argv)
{
    begin(argc, argv);
    test_version();
    test_status_names();
    test_nothing();
    test_defaults();
    test_wrong_json();
    test_sizes();
    test_pope_score();
    return finish();
}
