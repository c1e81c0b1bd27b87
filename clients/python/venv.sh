# Functions of `generate` and `test`: virtual environments with packages from PyPI.

# Installs Python if it is missing. Debian has the module venv in a package of its own.
provide_python() {
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 python3-venv >/dev/null
    fi
}

# provide_venv FOLDER PACKAGE…: creates the environment, unless it exists with the same packages and the same Python. Scripts that run at the same
# time wait for each other.
provide_venv() {
    local venv=$1
    shift
    provide_python
    local wanted
    wanted="$(python3 --version) $*"
    mkdir -p "$(dirname "$venv")"
    (
        flock 9
        if [[ ! -f $venv/packages || $(<"$venv/packages") != "$wanted" ]]; then
            rm -rf "$venv"
            python3 -m venv "$venv"
            "$venv/bin/pip" install --quiet --disable-pip-version-check "$@"
            printf '%s' "$wanted" >"$venv/packages"
        fi
    ) 9>"$venv.lock"
}
