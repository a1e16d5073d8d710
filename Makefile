# The two commands of the README are `make serve` and `make test`; the rest is for those who change the code.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint requirements.lock
# Clients whose libraries conflict with ours: each list of packages becomes a separate environment.
CLIENTS := $(patsubst tests/clients/environments/%.txt,$(VENV)/clients/%/installed,$(wildcard tests/clients/environments/*.txt))
# Three processes for two cores, for many tests wait for a server; by whole files, so that what a file's tests share is
# made once.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 3 --dist loadfile
# What takes a test long is a mark of it: tests/needs.py.
FAST := not (server or fit or export or slow or deploy or bench)
export ORT_DISABLE_TELEMETRY = 1
export BENTOML_DO_NOT_TRACK = True

.PHONY: serve test test-fast check clients bench bench-smoke bench-gpu gpu format lock protos image test-deploy clean

serve: $(VENV)/serving  ## install what serving needs, then serve models/zoo
	$(BIN)/lectorium serve

test: check clients  ## install everything, then lint, type-check and test
	$(PYTEST) tests --ignore tests/clients
	@# In processes of their own: tritonclient and protos/ both register the protobuf package `inference`.
	$(PYTEST) tests/clients

test-fast: $(VENV)/everything  ## the tests that start no server, fit no model and trace none: under two minutes
	$(PYTEST) -m '$(FAST)' tests --ignore tests/clients

clients: $(CLIENTS)
	@deploy/scripts/install-tools.sh libb64.so.0d || echo "perf_analyzer cannot run without it: its tests are skipped"

check: $(VENV)/everything
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/everything  ## all figures with their targets, and build/bench; BENCH='--quick lenet' runs one section briefly
	deploy/scripts/install-tools.sh wrk h2load
	$(BIN)/python -m deploy.bench $(BENCH)

bench-smoke: $(VENV)/everything  ## every section of the bench in its shortest form, to see that it works
	deploy/scripts/install-tools.sh wrk h2load
	$(BIN)/pytest -m bench tests/bench

bench-gpu: $(VENV)/everything gpu  ## the bench on a CUDA device: a table, and build/bench/gpu.json
	deploy/scripts/install-tools.sh h2load
	$(BIN)/python -m deploy.bench.gpu $(BENCH)

# The two wheels have the same files, so one is removed before the other is installed; requirements cannot express that.
gpu: $(VENV)/serving  ## replace ONNX Runtime by the one with CUDA, with NVIDIA's libraries (2 GB)
	@command -v nvidia-smi >/dev/null || { echo "there is no NVIDIA driver here: no nvidia-smi"; exit 2; }
	$(BIN)/python -m pip uninstall --quiet --yes onnxruntime onnxruntime-gpu
	$(PIP) "onnxruntime-gpu[cuda,cudnn]==$$(sed -n 's/^onnxruntime==//p' requirements.lock)"

format: $(VENV)/everything
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

protos: $(VENV)/everything  ## generate the stubs from the .proto files
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. --grpc_python_out=. \
		protos/open_inference.proto protos/lectorium/v1/vision.proto

# uv resolves in seconds what pip searches for minutes. CUDA's own packages are pinned by torch, where they are used.
# A client's .in names its packages, its .txt is the resolved list. Serving has a separate list, for a Bento.
lock: $(VENV)/everything  ## resolve the dependencies again
	for client in tests/clients/environments/*.in; do \
		$(BIN)/uv pip compile "$$client" --universal --python-version 3.11 --no-header --no-annotate --quiet --upgrade \
			--output-file "$${client%.in}.txt" || exit 1; done
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
		--no-header --no-annotate --quiet --upgrade | grep -vE '^(nvidia-(cu|nc|nv)|triton==|cuda-)' > requirements.lock
	$(BIN)/uv pip compile pyproject.toml --constraint requirements.lock --universal --python-version 3.11 \
		--no-header --no-annotate --quiet --output-file requirements-serving.lock

$(VENV)/serving: pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	touch $@

$(VENV)/everything: pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch==2.13.0
	$(PIP) --editable '.[train,test,search]'
	touch $@

# The lists are complete, so pip resolves nothing beside them.
$(VENV)/clients/%/installed: tests/clients/environments/%.txt
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --requirement $<
	touch $@

image:  ## build the serving image with podman (or docker)
	deploy/scripts/build-image.sh

test-deploy: $(VENV)/everything  ## build and run the image, and test it from outside
	$(PIP) --editable '.[train,test,deploy]'
	deploy/scripts/test-deploy.sh $(VENV)

clean:
	rm -rf $(VENV) build *.egg-info
