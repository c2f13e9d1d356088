# Everything a person types. Needs git, make and Python 3.11 or newer.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: setup demo test lint audit faults first-start soak bench history bench-history bench-growth lock clean

setup: $(STAMP)

# Bytecode at once: each process would otherwise compile what it imports, for seconds, where nobody may write it down.
$(STAMP): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $(STAMP)

# make demo IMAGES=<folder with def_front/ and ok_front/> PRETRAINED=<file of weights> WORKDIR=<folder>
demo: setup
	@$(BIN)/casting demo $(if $(IMAGES),--images "$(IMAGES)") $(if $(PRETRAINED),--pretrained "$(PRETRAINED)") \
		$(if $(WORKDIR),--workdir "$(WORKDIR)")

# WORKERS=1 for one test after another. A file's tests stay together and in order: some tell one story of one plant.
test: setup lint
	$(BIN)/python -m pytest -m "not slow" -n $(or $(WORKERS),4) --dist loadfile --no-loadscope-reorder

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Known vulnerabilities of the packages in requirements.lock, as a public database tells them; exit code 2 where there are.
audit: setup
	$(BIN)/python .ci/audit.py

# make faults SCHEDULES=100 PC_SCHEDULES=3 SEED=7: random faults in many short schedules (seconds each), and on a whole
# plant PC (a minute each); retraining killed in each phase, the schedule firing by itself, and two machines. tests/faults/README.md
faults: setup
	$(BIN)/python -m pytest tests/faults/test_plant_pc.py
	SCHEDULES=$(or $(SCHEDULES),100) PC_SCHEDULES=$(or $(PC_SCHEDULES),3) SEED=$(or $(SEED),1) \
		$(BIN)/python -m pytest -m slow tests/faults --ignore=tests/faults/test_plant_pc.py

# How long the first `casting up` on an empty folder takes until the hourly job runs: at most a minute, when quiet.
first-start: setup
	$(BIN)/python -m pytest -m slow -s tests/faults/test_first_start.py

# A plant PC under a steady rate of images: memory, connections and files stay flat. make soak MINUTES=30
soak: setup
	$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),30)

# A month of three lines with climbs planted in it: the table of casting_core/ALERTS.md.
history: setup
	$(BIN)/python -m tests.history $(if $(MOULDS),--moulds $(MOULDS))

bench: setup
	$(BIN)/python -m tests.benchmarks

# Ten million verdicts, about ten minutes. make bench-history VERDICTS=1000000
bench-history: setup
	$(BIN)/python -m tests.benchmarks history $(if $(VERDICTS),--verdicts $(VERDICTS))

# Time and memory for more images, lines, known images and larger pictures: about ten minutes.
bench-growth: setup
	$(BIN)/python -m tests.benchmarks growth

# After a change of dependencies. Not a file target: a fresh clone has no order of times to go by.
lock:
	$(BIN)/uv pip compile --quiet --universal --all-extras --python-version 3.11 --no-emit-index-url \
		-o requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) .casting
