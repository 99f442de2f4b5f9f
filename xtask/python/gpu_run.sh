#!/bin/sh
# Checks and measures Stormfire on this machine's GPU, in one call of at most eight minutes. Never ends half-way: the table
# comes last, and names what has failed.
cd "$(dirname "$0")" || exit 1
python=${PYTHON:-python3}

# NVRTC, and headers of the same version: of a CUDA toolkit, else of PyTorch's packages.
if [ -z "$CUDA_PATH" ]; then
    mkdir -p cuda/lib
    "$python" - <<'PYTHON'
import glob, os, site, sys
toolkits = [os.path.join(root, "lib64") for root in sorted(glob.glob("/usr/local/cuda*"))]
packages = dict.fromkeys(site.getsitepackages() + [site.getusersitepackages()] + sys.path)
def link(source, target):
    if not os.path.lexists(target):
        os.symlink(source, target)
for folder in toolkits:
    libraries = glob.glob(os.path.join(folder, "libnvrtc*.so*"))
    include = os.path.join(os.path.dirname(folder), "include")
    if libraries and os.path.exists(os.path.join(include, "cuda_runtime.h")):
        link(include, "cuda/include")
        break
else:
    libraries = [found for root in packages for found in glob.glob(os.path.join(root, "nvidia", "**", "libnvrtc*.so*"), recursive=True)]
    os.makedirs("cuda/include", exist_ok=True)
    for root in packages:
        for include in glob.glob(os.path.join(root, "nvidia", "**", "include"), recursive=True):
            for name in os.listdir(include):
                link(os.path.join(include, name), os.path.join("cuda/include", name))
for library in libraries:
    name = os.path.basename(library)
    link(library, os.path.join("cuda/lib", name))
    link(library, os.path.join("cuda/lib", name.split(".so")[0] + ".so"))
print("NVRTC:", sorted({os.path.realpath(library) for library in libraries}), "headers:", os.path.realpath("cuda/include"))
PYTHON
    export CUDA_PATH="$PWD/cuda"
    export LD_LIBRARY_PATH="$PWD/cuda/lib:$LD_LIBRARY_PATH"
fi

# Compiled kernels, and what tuning has found, for a second call.
export XDG_CACHE_HOME="$PWD/cache"

(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv || echo "no nvidia-smi") 2>&1
(while sleep 1; do nvidia-smi --query-gpu=memory.used,utilization.gpu,power.draw --format=csv,noheader,nounits; done >nvml.csv 2>/dev/null) &
sampler=$!
torch=""
if "$python" -c "import torch; assert torch.cuda.is_available()" 2>/dev/null; then
    torch="$python torch_throughput.py"
else
    echo "PyTorch does not see a GPU here: its columns are left out"
fi
TORCH_DEVICE=cuda timeout 470 ./accelerator-tests "${1:-cuda}" speed $torch 2>&1
code=$?
kill "$sampler" 2>/dev/null
most() { cut -d, -f"$1" nvml.csv 2>/dev/null | sort -n | tail -1; }
echo "NVML, the largest: $(most 1) MiB of memory, $(most 2) % utilization, $(most 3) W (exit status $code)"
exit 0
