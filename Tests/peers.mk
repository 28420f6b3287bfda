# Comparisons with other software, fixtures, benchmarks, the small world's base; included by the Makefile.

.PHONY: fixtures parity bench bench-json world

# PyTorch, transformers and peft live in a folder of their own and are used by these two only.
VENV := $(BUILD)/venv

$(VENV)/installed: Tests/Parity/requirements.txt
	$(call install_packages,python3-venv)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install -q -r Tests/Parity/requirements.txt
	@touch $@

fixtures: $(VENV)/installed  ## make the test fixtures again (installs PyTorch)
	@for script in $(sort $(wildcard Tests/Fixtures/make_*.py)); do echo $$script; $(VENV)/bin/python $$script || exit 1; done

parity: test-deps $(VENV)/installed  ## compare with transformers and peft (installs PyTorch)
	@$(MAKE) --no-print-directory all
	$(VENV)/bin/python Tests/Parity/run.py

WRAPPED := malloc calloc realloc aligned_alloc posix_memalign free

bench: deps $(BUILD)/bench/kernels  ## time the kernels: BENCH="--isa avx512 matmul"
	$(BUILD)/bench/kernels $(BENCH)

$(BUILD)/bench/kernels: $(wildcard Sources/CHadpoKernels/*.[ch] Sources/CHadpoKernels/include/*.h Tests/Bench/*.[ch])
	@mkdir -p $(@D)
	$(CC) -O3 -ISources/CHadpoKernels/include -o $@ Tests/Bench/bench_kernels.c Tests/Bench/peaks.c Tests/Bench/allocations.c \
		$(wildcard Sources/CHadpoKernels/*.c) $(foreach name,$(WRAPPED),-Wl,--wrap=$(name)) -lm -lpthread -ldl

bench-json: deps  ## speed and memory of reading JSON: BENCH="10 70"
	@$(MAKE) --no-print-directory library
	@mkdir -p $(BUILD)/bench
	$(CC) -std=c99 -D_DEFAULT_SOURCE $(CFLAGS) -Iinclude Tests/Bench/bench_json.c -o $(BUILD)/bench/json -L$(BUILD)/lib -lhadpo \
		-Wl,-rpath,$(CURDIR)/$(BUILD)/lib
	cd $(BUILD)/bench && ./json $(BENCH)

# The kernels alone, for a peer's process that calls both sides in turns (Tests/Bench/peers/torch_linear.py).
$(BUILD)/bench/libkernels.so: $(wildcard Sources/CHadpoKernels/*.[ch] Sources/CHadpoKernels/include/*.h)
	@mkdir -p $(@D)
	$(CC) -O3 -fPIC -shared -ISources/CHadpoKernels/include -o $@ $(wildcard Sources/CHadpoKernels/*.c) -lm -lpthread -ldl

# Hours on two cores; the result replaces the checkpoint that the library carries.
world: all  ## train the small world's base checkpoints again, from nothing: hours
	$(TOOL) world train -o $(BUILD)/world-base
	cp $(BUILD)/world-base/model.safetensors Sources/CHadpoWorldAssets/world_model.safetensors
	$(TOOL) world train -o $(BUILD)/world-minigpt4 --set family=minigpt4
	cp $(BUILD)/world-minigpt4/Llama-2-7b-chat-hf/model.safetensors Sources/CHadpoWorldAssets/minigpt4_llama.safetensors
	cp $(BUILD)/world-minigpt4/eva_vit_g.pth Sources/CHadpoWorldAssets/minigpt4_eva.pth
	cp $(BUILD)/world-minigpt4/pretrained_minigpt4_llama2_7b.pth Sources/CHadpoWorldAssets/minigpt4_projection.pth
	$(TOOL) world train -o $(BUILD)/world-instructblip --set family=instructblip
	cp $(BUILD)/world-instructblip/model.safetensors Sources/CHadpoWorldAssets/instructblip.safetensors
