. /tmp/w/bench/q.sh
img=$(q -At -c "select png from t where id=1")
echo 'select * from mnist_predict(:png);' > /tmp/w/bench/run/predict.sql
for i in 1 2 3 4 5; do runuser -u postgres -- pgbench -n -M prepared -c 1 -T 2 -h $d -p 5601 -U bench -D "png=$img" -f /tmp/w/bench/run/predict.sql bench 2>/dev/null | awk '/^tps/ {print 1e6/$3}'; done | sort -n | tr '\n' ' '; echo
