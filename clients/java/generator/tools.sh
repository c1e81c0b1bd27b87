# Functions of the generate scripts of Java and C#. To be sourced by bash.

# install_generator FOLDER VERSION: protoc and protobuf-java of one version from Maven, and the compiled generator, in FOLDER.
install_generator() {
  tools=$1/protobuf-$2
  local copy=org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy
  mkdir -p "$tools"
  if [ ! -f "$tools/complete" ]; then
    mvn -q -B "$copy" -Dartifact="com.google.protobuf:protoc:$2:exe:linux-x86_64" -DoutputDirectory="$tools"
    mvn -q -B "$copy" -Dartifact="com.google.protobuf:protobuf-java:$2" -DoutputDirectory="$tools"
    mkdir -p "$tools/include"
    (cd "$tools/include" && jar xf "../protobuf-java-$2.jar" google/protobuf)
    chmod +x "$tools/protoc-$2-linux-x86_64.exe"
    touch "$tools/complete"
  fi
  protoc=$tools/protoc-$2-linux-x86_64.exe
  generator=$(mktemp -d)
  javac -d "$generator" -cp "$tools/protobuf-java-$2.jar" "$root"/clients/java/generator/*.java
  printf '#!/bin/sh\nexec java -cp "%s:%s" Generator\n' "$generator" "$tools/protobuf-java-$2.jar" >"$generator/run"
  chmod +x "$generator/run"
}

# run_protoc PROTO_FOLDER LANGUAGE OUTPUT OPTION…: runs protoc for all files of the contract, with the generator as a plugin.
run_protoc() {
  local proto=$1 language=$2 output=$3
  shift 3
  (
    cd "$proto"
    find sealward -name '*.proto' | LC_ALL=C sort | xargs "$protoc" -I . -I "$tools/include" \
      "$@" --plugin=protoc-gen-sealward="$generator/run" --sealward_out="$output" --sealward_opt="$language"
  )
  rm -rf "$generator"
}

# install_or_compare MODE NAME TARGET SOURCE FOLDER…: replaces the folders of TARGET by those of SOURCE, or lists the differences and fails.
install_or_compare() {
  local mode=$1 name=$2 target=$3 source=$4 stale=0 folder
  shift 4
  for folder in "$@"; do
    if [ "$mode" = write ]; then
      rm -rf "${target:?}/$folder"
      mkdir -p "$target/$folder"
      cp -R "$source/$folder/." "$target/$folder/"
    elif ! diff -rq "$target/$folder" "$source/$folder"; then
      stale=1
    fi
  done
  if [ "$stale" = 1 ]; then
    echo "$name: the files above are stale: run $name" >&2
    return 1
  fi
}
