#!/bin/sh
# Checks and measures Stormfire on this machine's GPU, in one call of at most eight minutes. Never ends half-way: the table
# comes last, and names what has failed.
cd "$(dirname "$0")" || exit 1
python=${PYTHON:-python3}

# NVRTC and CUDA's headers: of a toolkit, else of PyTorch's packages.
if [ -z "$CUDA_PATH" ] && [ ! -e /usr/local/cuda/include/cuda_runtime.h ]; then
    mkdir -p cuda/include cuda/lib
    "$python" - <<'PYTHON'
import glob, os, site, sys
roots = site.getsitepackages() + [site.getusersitepackages()] + sys.path
for root in dict.fromkeys(roots):
    for header in glob.glob(os.path.join(root, "nvidia", "**", "include"), recursive=True):
        for name in os.listdir(header):
            target = os.path.join("cuda/include", name)
            if not os.path.lexists(target):
                os.symlink(os.path.join(header, name), target)
    for library in glob.glob(os.path.join(root, "nvidia", "**", "libnvrtc*.so*"), recursive=True):
        for name in {os.path.basename(library), os.path.basename(library).split(".so")[0] + ".so"}:
            target = os.path.join("cuda/lib", name)
            if not os.path.lexists(target):
                os.symlink(library, target)
PYTHON
    export CUDA_PATH="$PWD/cuda"
    export LD_LIBRARY_PATH="$PWD/cuda/lib:$LD_LIBRARY_PATH"
fi

(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv || echo "no nvidia-smi") 2>&1
(while sleep 2; do nvidia-smi --query-gpu=memory.used,utilization.gpu,power.draw --format=csv,noheader; done >nvml.csv 2>/dev/null) &
sampler=$!
torch=""
if TORCH_DEVICE=cuda "$python" -c "import torch; assert torch.cuda.is_available()" 2>/dev/null; then
    torch="$python torch_throughput.py"
else
    echo "PyTorch does not see a GPU here: its columns are left out"
fi
TORCH_DEVICE=cuda timeout 460 ./stormfire-bench gpu "${1:-cuda}" $torch 2>&1
code=$?
kill "$sampler" 2>/dev/null
echo "NVML, the largest of each: $(sort -n nvml.csv 2>/dev/null | tail -1) (exit status $code)"
exit 0
