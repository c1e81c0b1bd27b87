set -e
programs=$1 folder=$2 port=$3
trap 'rm -rf "$folder"' EXIT
exec 3>&1 > "$folder/log" 2>&1
"$programs/initdb" --no-sync --encoding=UTF8 --locale=C.UTF-8 -A trust -U postgres -D "$folder/data"
printf 'local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n' > "$folder/data/pg_hba.conf"
"$programs/postgres" -D "$folder/data" -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories="$folder" \
    -c fsync=off -c full_page_writes=off -c max_connections=400 -c max_prepared_transactions=0 \
    -c ssl=on -c ssl_cert_file="$folder/server.pem" -c ssl_key_file="$folder/server.key" < /dev/null &
server=$!
until "$programs/pg_isready" -q -h "$folder" -p "$port"; do
    kill -0 "$server"
    sleep 0.05
done
"$programs/psql" -X -q -h "$folder" -p "$port" -U postgres -c "CREATE ROLE sealward_owner LOGIN PASSWORD 'of the tests'" \
    -c "CREATE ROLE sealward LOGIN PASSWORD 'of the tests'"
echo ready >&3
exec 3>&-
# Ends when the test process does.
cat > /dev/null
kill -QUIT "$server"
wait "$server" || true
