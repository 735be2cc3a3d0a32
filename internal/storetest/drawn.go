package storetest

import (
	"fmt"
	"reflect"
	"time"

	"pgregory.net/rapid"
)

// drawn returns a T of which each field may be anything of little: what is zero,
// what is empty and not nil, what stores keep less precisely.
func drawn[T any](rt *rapid.T, label string) T {
	var v T
	drawValue(rt, reflect.ValueOf(&v).Elem(), label)
	return v
}

func drawValue(rt *rapid.T, v reflect.Value, label string) {
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(one(rt, label, time.Time{}, noon(), noon().Add(time.Minute),
			noon().Add(time.Minute+999*time.Microsecond).In(time.FixedZone("", 3600)))))
		return
	}
	switch v.Kind() { //nolint:exhaustive // the rest panics, and whoever adds such a field adds its case
	case reflect.String:
		v.SetString(one(rt, label, "", "a", `é'"\#`))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(rt, label))
	case reflect.Int, reflect.Int64:
		v.SetInt(one(rt, label, int64(0), 1, -1, 1<<40))
	case reflect.Uint32:
		v.SetUint(one(rt, label, uint64(0), 1, 1<<20-1))
	case reflect.Float64:
		v.SetFloat(one(rt, label, 0, 0.1, 1e9))
	case reflect.Struct:
		for i := range v.NumField() {
			drawValue(rt, v.Field(i), label+"."+v.Type().Field(i).Name)
		}
	case reflect.Slice:
		if n := upTo(rt, label, -1, 2); n >= 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
		}
		for i := range v.Len() {
			drawValue(rt, v.Index(i), label)
		}
	case reflect.Map:
		n := upTo(rt, label, -1, 2)
		if n >= 0 {
			v.Set(reflect.MakeMap(v.Type()))
		}
		for range n {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			drawValue(rt, key, label)
			drawValue(rt, value, label)
			v.SetMapIndex(key, value)
		}
	default:
		panic(fmt.Sprintf("storetest: no value for a %s", v.Type()))
	}
}
