import conpet_lib as cp
from conftest import make_stream, quick
def test_a(backbone, tmp_path):
    s=make_stream()
    for k in cp.LEARNERS:
        r=cp.train(s,backbone,quick(k),folder=tmp_path/k,bar=False)
        print(k, r.average_accuracy.tolist())
    r=cp.train(s,backbone,quick("dynamic",active=2),folder=tmp_path/"d2",bar=False)
    r=cp.train(s,backbone,quick("dynamic",modules=2),folder=tmp_path/"m2",bar=False)
    print(r.accuracy_matrix, r.predict(["[amber] birch number 3"]))
