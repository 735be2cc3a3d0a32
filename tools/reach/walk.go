package reach

import (
	"go/constant"
	"go/types"

	"golang.org/x/tools/go/ssa"
	"golang.org/x/tools/go/types/typeutil"
)

// A walker goes from function to function.
type walker struct {
	program *ssa.Program
	uses    Uses
	seen    map[*ssa.Function]bool
	queue   []*ssa.Function
	made    typeutil.Map // Types of which a value became an interface.
	types   []types.Type // The keys of made.
	asked   map[*types.Func]*types.Interface
}

func newWalker(program *ssa.Program) *walker {
	return &walker{
		program: program, uses: Uses{Calls: map[string]bool{}, Texts: map[string]bool{}},
		seen: map[*ssa.Function]bool{}, asked: map[*types.Func]*types.Interface{},
	}
}

func (w *walker) walk() {
	for len(w.queue) > 0 {
		fn := w.queue[len(w.queue)-1]
		w.queue = w.queue[:len(w.queue)-1]
		for _, block := range fn.Blocks {
			for _, instruction := range block.Instrs {
				w.visit(instruction)
			}
		}
	}
}

// reach notes a function. One without blocks is somebody else's.
func (w *walker) reach(fn *ssa.Function) {
	if fn == nil || w.seen[fn] {
		return
	}
	w.seen[fn] = true
	if fn.Blocks == nil {
		w.uses.Calls[name(fn)] = true
	}
	w.queue = append(w.queue, fn)
}

func name(fn *ssa.Function) string {
	if object, ok := fn.Object().(*types.Func); ok {
		return object.FullName()
	}
	return fn.String()
}

func (w *walker) visit(instruction ssa.Instruction) {
	for _, operand := range instruction.Operands(nil) {
		switch value := (*operand).(type) {
		case *ssa.Function:
			w.reach(value)
		case *ssa.Const:
			if value.Value != nil && value.Value.Kind() == constant.String {
				w.uses.Texts[constant.StringVal(value.Value)] = true
			}
		}
	}
	switch i := instruction.(type) {
	case *ssa.MakeInterface:
		w.make(i.X.Type())
		w.handOver(i.Type())
	case *ssa.ChangeInterface:
		w.handOver(i.Type())
	case *ssa.TypeAssert:
		w.handOver(i.AssertedType)
	case ssa.CallInstruction:
		if common := i.Common(); common.IsInvoke() {
			if face, ok := common.Value.Type().Underlying().(*types.Interface); ok {
				w.ask(face, common.Method)
			}
		}
	}
}

// handOver treats a value that becomes an interface of somebody else's as one whose methods are called.
func (w *walker) handOver(to types.Type) {
	face, ok := to.Underlying().(*types.Interface)
	if !ok {
		return
	}
	if named, ok := types.Unalias(to).(*types.Named); ok && named.Obj().Pkg() != nil && w.isOwn(named.Obj().Pkg()) {
		return
	}
	for method := range face.Methods() {
		w.ask(face, method)
	}
}

// isOwn reports whether a package was read in source.
func (w *walker) isOwn(p *types.Package) bool {
	built := w.program.Package(p)
	if built == nil {
		return false
	}
	start := built.Func("init")
	return start != nil && start.Blocks != nil
}

// ask notes a method that is called on an interface.
func (w *walker) ask(face *types.Interface, method *types.Func) {
	if w.asked[method] != nil {
		return
	}
	w.asked[method] = face
	for _, t := range w.types {
		w.answer(t, face, method)
	}
}

// make notes a type of which a value becomes an interface.
func (w *walker) make(t types.Type) {
	if types.IsInterface(t) || w.made.Set(t, true) != nil {
		return
	}
	w.types = append(w.types, t)
	for method, face := range w.asked {
		w.answer(t, face, method)
	}
}

// answer reaches t's own method where t has the interface.
func (w *walker) answer(t types.Type, face *types.Interface, method *types.Func) {
	if !types.Implements(t, face) {
		return
	}
	if selection := w.program.MethodSets.MethodSet(t).Lookup(method.Pkg(), method.Name()); selection != nil {
		w.reach(w.program.MethodValue(selection))
	}
}
